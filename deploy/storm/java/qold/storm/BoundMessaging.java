package qold.storm;

import java.net.UnknownHostException;
import java.util.Map;
import java.util.function.Supplier;
import org.apache.storm.messaging.IConnection;
import org.apache.storm.messaging.IConnectionCallback;
import org.apache.storm.messaging.netty.Context;
import org.apache.storm.metrics2.StormMetricRegistry;
import org.apache.storm.shade.io.netty.bootstrap.ChannelInitializerExtension;

/** Storm's messaging between workers, listening where `BoundListener` says. */
public class BoundMessaging extends Context {
    static {
        // Netty looks for `BoundListener` only when this is set before its first server.
        System.setProperty(ChannelInitializerExtension.EXTENSIONS_SYSTEM_PROPERTY, "serviceload");
    }

    @Override
    public void prepare(Map<String, Object> conf, StormMetricRegistry metrics) {
        try {
            BoundListener.listenOn(OwnAddress.of(conf));
        } catch (UnknownHostException exc) {
            throw new IllegalStateException(exc);
        }
        super.prepare(conf, metrics);
    }

    @Override
    public synchronized IConnection bind(
            String topology, int port, IConnectionCallback callback, Supplier<Object> greeting) {
        IConnection server = super.bind(topology, port, callback, greeting);
        if (!BoundListener.isUsed()) { // Netty has not loaded it: better no worker than an open one
            server.close();
            throw new IllegalStateException("port " + port + " would be open to every network");
        }
        return server;
    }
}
