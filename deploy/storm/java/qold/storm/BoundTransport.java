package qold.storm;

import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.UnknownHostException;
import java.nio.channels.Selector;
import java.nio.channels.SocketChannel;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import org.apache.storm.security.auth.ReqContext;
import org.apache.storm.security.auth.SimpleTransportPlugin;
import org.apache.storm.security.auth.ThriftConnectionType;
import org.apache.storm.thrift.TProcessor;
import org.apache.storm.thrift.protocol.TBinaryProtocol;
import org.apache.storm.thrift.server.THsHaServer;
import org.apache.storm.thrift.server.TServer;
import org.apache.storm.thrift.transport.TNonblockingServerSocket;
import org.apache.storm.thrift.transport.TNonblockingSocket;
import org.apache.storm.thrift.transport.TTransportException;

/**
 * Storm's simple Thrift transport on one address; over loopback for its own user and root only.
 *
 * <p>Nimbus listens on loopback besides, where an SSH tunnel ends.
 */
public class BoundTransport extends SimpleTransportPlugin {
    private static final int POOL_KEEP_ALIVE_S = 60; // as in the superclass
    private int port;

    @Override
    public TServer getServer(TProcessor processor) throws IOException, TTransportException {
        InetAddress address = OwnAddress.of(topoConf);
        TNonblockingServerSocket socket = new CheckedServerSocket(
            new InetSocketAddress(address, type.getPort(topoConf)), tunnelEnd(address));
        port = socket.getPort();
        int threads = type.getNumThreads(topoConf);
        int most = type.getMaxBufferSize(topoConf);
        THsHaServer.Args arguments = new THsHaServer.Args(socket)
            .processor((in, out) -> {
                // As the superclass: no user name, a peer on this machine.
                ReqContext.context().setRemoteAddress(InetAddress.getLoopbackAddress());
                ReqContext.context().setSubject(null);
                processor.process(in, out);
            })
            .maxWorkerThreads(threads)
            .protocolFactory(new TBinaryProtocol.Factory(false, true, most, -1));
        arguments.maxReadBufferBytes = most;
        Integer queue = type.getQueueSize(topoConf);
        if (queue != null) {
            arguments.executorService(new ThreadPoolExecutor(threads, threads, POOL_KEEP_ALIVE_S,
                TimeUnit.SECONDS, new ArrayBlockingQueue<>(queue)));
        }
        return new THsHaServer(arguments);
    }

    @Override
    public int getPort() {
        return port;
    }

    /** Where `sparse` looks for Nimbus at the end of its SSH tunnel; null where Nimbus listens there. */
    private InetSocketAddress tunnelEnd(InetAddress own) throws UnknownHostException {
        InetAddress loopback = InetAddress.getByName("127.0.0.1");
        boolean isNeeded = type == ThriftConnectionType.NIMBUS && !own.equals(loopback);
        return isNeeded ? new InetSocketAddress(loopback, type.getPort(topoConf)) : null;
    }

    private static final class CheckedServerSocket extends TNonblockingServerSocket {
        private final TNonblockingServerSocket second;

        CheckedServerSocket(InetSocketAddress address, InetSocketAddress more) throws TTransportException {
            super(address);
            second = more == null ? null : new TNonblockingServerSocket(more);
        }

        @Override
        public void listen() throws TTransportException {
            super.listen();
            if (second != null) {
                second.listen();
            }
        }

        @Override
        public void registerSelector(Selector selector) {
            super.registerSelector(selector);
            if (second != null) {
                second.registerSelector(selector);
            }
        }

        @Override
        public void close() {
            super.close();
            if (second != null) {
                second.close();
            }
        }

        @Override
        public TNonblockingSocket accept() throws TTransportException {
            TNonblockingSocket client = super.accept();
            if (client == null && second != null) {
                client = second.accept();
            }
            if (client == null) { // gone before it was accepted
                throw new TTransportException("no connection is waiting");
            }
            try {
                SocketChannel channel = client.getSocketChannel();
                LocalPeer.check(channel.getLocalAddress(), channel.getRemoteAddress());
                return client;
            } catch (IOException | RuntimeException refusal) {
                client.close();
                throw new TTransportException(refusal);
            }
        }
    }
}
