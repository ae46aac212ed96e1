package qold.storm;

import java.io.IOException;
import java.nio.channels.SelectionKey;
import java.nio.channels.SocketChannel;
import org.apache.storm.shade.org.apache.zookeeper.server.NIOServerCnxn;
import org.apache.storm.shade.org.apache.zookeeper.server.NIOServerCnxnFactory;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** ZooKeeper's connections; over loopback those of its own user and root only. */
public class CheckedConnections extends NIOServerCnxnFactory {
    private static final Logger LOG = LoggerFactory.getLogger(CheckedConnections.class);

    @Override
    protected NIOServerCnxn createConnection(SocketChannel client, SelectionKey key, SelectorThread selector)
            throws IOException {
        try {
            LocalPeer.check(client.getLocalAddress(), client.getRemoteAddress());
        } catch (IOException refusal) {
            LOG.warn("{}", refusal.getMessage());
            throw refusal;
        }
        return super.createConnection(client, key, selector);
    }
}
