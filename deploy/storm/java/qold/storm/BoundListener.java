package qold.storm;

import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.SocketAddress;
import org.apache.storm.shade.io.netty.bootstrap.ChannelInitializerExtension;
import org.apache.storm.shade.io.netty.channel.Channel;
import org.apache.storm.shade.io.netty.channel.ChannelHandlerContext;
import org.apache.storm.shade.io.netty.channel.ChannelOutboundHandlerAdapter;
import org.apache.storm.shade.io.netty.channel.ChannelPromise;
import org.apache.storm.shade.io.netty.channel.ServerChannel;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Netty's servers of this JVM on one address; over loopback for its own user and root only. */
public class BoundListener extends ChannelInitializerExtension {
    private static final Logger LOG = LoggerFactory.getLogger(BoundListener.class);
    private static volatile InetAddress address = InetAddress.getLoopbackAddress();
    private static volatile boolean isUsed;

    static void listenOn(InetAddress own) {
        address = own;
    }

    /** Whether a server of this JVM was bound through it. */
    static boolean isUsed() {
        return isUsed;
    }

    @Override
    public void postInitializeServerListenerChannel(ServerChannel server) {
        server.pipeline().addLast(new ChannelOutboundHandlerAdapter() {
            @Override
            public void bind(ChannelHandlerContext context, SocketAddress wanted, ChannelPromise done) {
                isUsed = true;
                int port = ((InetSocketAddress) wanted).getPort();
                context.bind(new InetSocketAddress(address, port), done);
            }
        });
    }

    @Override
    public void postInitializeServerChildChannel(Channel client) {
        boolean isAllowed = false;
        try {
            LocalPeer.check(client.localAddress(), client.remoteAddress());
            isAllowed = true;
        } catch (IOException refusal) {
            LOG.warn("{}", refusal.getMessage());
        } finally {
            if (!isAllowed) { // Netty would go on after an exception
                client.unsafe().closeForcibly();
            }
        }
    }
}
