package qold.storm;

import java.io.IOException;
import java.net.Inet4Address;
import java.net.InetSocketAddress;
import java.net.SocketAddress;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;

/** The user behind a connection over loopback, as the kernel's socket tables name it. */
public final class LocalPeer {
    // Columns of /proc/net/tcp: slot, local address, remote address, state, …, user, timeout, inode.
    private static final int LOCAL = 1, REMOTE = 2, STATE = 3, USER = 7;
    // A socket that its process has closed has no user any more and would count as root's.
    private static final String ESTABLISHED = "01";
    private static final String ROOT = "0";
    // The kernel hands the table over in pieces; an entry can be missing while others come and go.
    private static final int LOOKS = 2;
    private static final String NOBODY = "nobody"; // no number, so no user's
    private static final byte[] MAPPED = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, -1, -1};

    private LocalPeer() {
    }

    /** Raise unless the peer is another machine, our own user or root. */
    public static void check(SocketAddress own, SocketAddress peer) throws IOException {
        if (!isAllowed((InetSocketAddress) own, (InetSocketAddress) peer)) {
            throw new IOException("refused " + peer + ": the connection is another user's");
        }
    }

    private static boolean isAllowed(InetSocketAddress own, InetSocketAddress peer) throws IOException {
        // Either end: from any address of this machine one may connect to 127.0.0.1.
        if (!own.getAddress().isLoopbackAddress() && !peer.getAddress().isLoopbackAddress()) {
            return true;
        }
        for (int look = 0; look < LOOKS; look++) {
            String user = userOf(peer, own);
            if (user != null) {
                return user.equals(ROOT) || user.equals(ownUser());
            }
        }
        return false;
    }

    /** The user id of the socket with these ends, `NOBODY` when it is closed, null when it is not listed. */
    private static String userOf(InetSocketAddress local, InetSocketAddress remote) throws IOException {
        // Java's clients, the most of ours, have IPv6 sockets. Reading a table costs the kernel 2 ms.
        String user = userIn("tcp6", in6(local) + " " + in6(remote));
        boolean is4 = local.getAddress() instanceof Inet4Address && remote.getAddress() instanceof Inet4Address;
        return user == null && is4 ? userIn("tcp", in4(local) + " " + in4(remote)) : user;
    }

    private static String userIn(String table, String ends) throws IOException {
        Path path = Path.of("/proc/net", table);
        if (!Files.exists(path)) { // a kernel without IPv6
            return null;
        }
        for (String line : Files.readAllLines(path)) {
            if (line.contains(ends)) {
                String[] words = line.trim().split("\\s+");
                if (ends.equals(words[LOCAL] + " " + words[REMOTE])) {
                    return words[STATE].equals(ESTABLISHED) ? words[USER] : NOBODY;
                }
            }
        }
        return null;
    }

    private static String ownUser() throws IOException {
        List<String> status = Files.readAllLines(Path.of("/proc/self/status"));
        String line = status.stream().filter(text -> text.startsWith("Uid:")).findFirst().orElseThrow();
        return line.split("\\s+")[2];
    }

    private static String in4(InetSocketAddress address) {
        return hex(address.getAddress().getAddress()) + port(address);
    }

    private static String in6(InetSocketAddress address) {
        byte[] bytes = address.getAddress().getAddress();
        if (bytes.length == 4) {
            byte[] mapped = Arrays.copyOf(MAPPED, 16);
            System.arraycopy(bytes, 0, mapped, MAPPED.length, 4);
            bytes = mapped;
        }
        return hex(bytes) + port(address);
    }

    /** As the kernel prints an address: words of four bytes in this machine's order. */
    private static String hex(byte[] bytes) {
        byte[] words = bytes.clone();
        if (ByteOrder.nativeOrder() == ByteOrder.LITTLE_ENDIAN) {
            for (int at = 0; at < bytes.length; at++) {
                words[at] = bytes[at - at % 4 + 3 - at % 4];
            }
        }
        return HexFormat.of().withUpperCase().formatHex(words);
    }

    private static String port(InetSocketAddress address) {
        return String.format(":%04X", address.getPort());
    }
}
