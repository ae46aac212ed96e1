package qold;

import javax.net.ssl.SSLEngine;
import org.apache.kafka.common.security.ssl.DefaultSslEngineFactory;

/**
 * TLS of the edge listener, which checks produce requests before the broker unpacks them.
 *
 * A broker builds an object for every record that a batch claims, and allocates what a snappy
 * stream claims: 69 bytes from a gateway end a broker. Kafka has no setting for either, and a
 * listener's TLS is the only part of it that sees a request first and can be replaced. A refused
 * connection is closed; the client learns no more.
 */
public class CheckedEdge extends DefaultSslEngineFactory {
    @Override
    public SSLEngine createServerSslEngine(String host, int port) {
        return new CheckedEngine(super.createServerSslEngine(host, port));
    }
}
