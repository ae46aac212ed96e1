package qold.storm;

import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.channels.SocketChannel;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import org.apache.storm.security.auth.ReqContext;
import org.apache.storm.security.auth.SimpleTransportPlugin;
import org.apache.storm.thrift.TProcessor;
import org.apache.storm.thrift.protocol.TBinaryProtocol;
import org.apache.storm.thrift.server.THsHaServer;
import org.apache.storm.thrift.server.TServer;
import org.apache.storm.thrift.transport.TNonblockingServerSocket;
import org.apache.storm.thrift.transport.TNonblockingSocket;
import org.apache.storm.thrift.transport.TTransportException;

/** Storm's simple Thrift transport on one address; over loopback for its own user and root only. */
public class BoundTransport extends SimpleTransportPlugin {
    private static final int POOL_KEEP_ALIVE_S = 60; // as in the superclass
    private int port;

    @Override
    public TServer getServer(TProcessor processor) throws IOException, TTransportException {
        InetAddress address = OwnAddress.of(topoConf);
        TNonblockingServerSocket socket =
            new CheckedServerSocket(new InetSocketAddress(address, type.getPort(topoConf)));
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

    private static final class CheckedServerSocket extends TNonblockingServerSocket {
        CheckedServerSocket(InetSocketAddress address) throws TTransportException {
            super(address);
        }

        @Override
        public TNonblockingSocket accept() throws TTransportException {
            TNonblockingSocket client = super.accept();
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
