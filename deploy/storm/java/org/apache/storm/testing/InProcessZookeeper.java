package org.apache.storm.testing;

import java.io.File;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import org.apache.storm.shade.org.apache.zookeeper.server.NIOServerCnxnFactory;
import org.apache.storm.shade.org.apache.zookeeper.server.ZooKeeperServer;
import qold.storm.CheckedConnections;

/** The ZooKeeper of `sparse run`, in place of Storm's of this name, which listens on every address. */
public class InProcessZookeeper implements AutoCloseable {
    private static final int TICK_MS = 2000; // as in the class that it replaces
    private final TmpPath folder = new TmpPath();
    private final NIOServerCnxnFactory server = new CheckedConnections();

    public InProcessZookeeper() throws Exception {
        server.configure(new InetSocketAddress(InetAddress.getByName("127.0.0.1"), 0), 0);
        File data = new File(folder.getPath());
        server.startup(new ZooKeeperServer(data, data, TICK_MS));
    }

    public long getPort() {
        return server.getLocalPort();
    }

    @Override
    public void close() throws Exception {
        server.shutdown();
        folder.close();
    }
}
