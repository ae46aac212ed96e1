package qold;

import com.google.inject.servlet.GuiceFilter;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.util.Set;
import javax.servlet.Filter;
import javax.servlet.FilterChain;
import javax.servlet.FilterConfig;
import javax.servlet.ServletException;
import javax.servlet.ServletRequest;
import javax.servlet.ServletResponse;
import javax.servlet.http.HttpServletRequest;
import javax.servlet.http.HttpServletResponse;
import org.eclipse.jetty.server.HttpConnectionFactory;
import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.server.ServerConnector;
import org.eclipse.jetty.server.SslConnectionFactory;
import org.eclipse.jetty.server.handler.gzip.GzipHandler;
import org.eclipse.jetty.servlet.DefaultServlet;
import org.eclipse.jetty.servlet.ServletContextHandler;
import org.eclipse.jetty.util.ssl.SslContextFactory;
import org.kairosdb.core.KairosDBService;
import org.kairosdb.core.KairosRootConfig;
import org.kairosdb.core.exception.KairosDBException;
import org.kairosdb.core.http.WebServletModule;

/**
 * KairosDB's HTTP interface over TLS, with a password on every path of /api.
 *
 * Takes the place of `service.http`: where this class cannot be loaded, KairosDB serves no HTTP.
 * KairosDB's own basic authentication leaves /api/v1/health/* open, and with it every path that
 * Jetty decodes to one below it. Its own TLS connector listens on every interface.
 */
public class GuardedHttp extends WebServletModule {
    private final byte[] authorization;
    private final Set<String> hosts;
    private final int port;

    public GuardedHttp(KairosRootConfig configuration) {
        super(configuration);
        authorization = bytes(configuration.getString("kairosdb.guard.authorization"));
        port = Integer.parseInt(configuration.getString("kairosdb.guard.port"));
        hosts = Set.of("127.0.0.1:" + port, "localhost:" + port);
    }

    @Override
    protected void configureServlets() {
        filter("/*").through(new Guard());
        super.configureServlets();
        bind(TlsPort.class).toInstance(new TlsPort(port));
    }

    private static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    /** The only connector: 127.0.0.1, with the key store of the JVM. */
    public static final class TlsPort implements KairosDBService {
        private static final int IDLE_MS = 120_000;
        private final Server server = new Server();
        private final int port;

        TlsPort(int port) {
            this.port = port;
        }

        @Override
        public void start() throws KairosDBException {
            SslContextFactory.Server tls = new SslContextFactory.Server();
            tls.setKeyStorePath(System.getProperty("javax.net.ssl.keyStore"));
            tls.setKeyStorePassword(System.getProperty("javax.net.ssl.keyStorePassword"));
            tls.setKeyStoreType("PKCS12");
            ServerConnector connector =
                    new ServerConnector(
                            server,
                            new SslConnectionFactory(tls, "http/1.1"),
                            new HttpConnectionFactory());
            connector.setHost("127.0.0.1");
            connector.setPort(port);
            connector.setIdleTimeout(IDLE_MS);
            server.addConnector(connector);
            ServletContextHandler api = new ServletContextHandler();
            api.addFilter(GuiceFilter.class, "/api/*", null);
            api.addServlet(DefaultServlet.class, "/api/*");
            GzipHandler gzip = new GzipHandler();
            gzip.setIncludedMimeTypes("application/json");
            gzip.addIncludedMethods("GET", "POST");
            gzip.setHandler(api);
            server.setHandler(gzip);
            try {
                server.start();
            } catch (Exception e) {
                throw new KairosDBException(e);
            }
        }

        @Override
        public void stop() {
            try {
                server.stop();
            } catch (Exception e) {
                throw new IllegalStateException(e);
            }
        }
    }

    private final class Guard implements Filter {
        @Override
        public void init(FilterConfig configuration) {}

        @Override
        public void destroy() {}

        @Override
        public void doFilter(ServletRequest request, ServletResponse response, FilterChain next)
                throws IOException, ServletException {
            HttpServletRequest asked = (HttpServletRequest) request;
            HttpServletResponse answer = (HttpServletResponse) response;
            String host = asked.getHeader("Host");
            String sent = asked.getHeader("Authorization");
            if (host == null || !hosts.contains(host)) {
                refuse(answer, 421, "this Host is not served here");
            } else if (asked.getHeader("Origin") != null) {
                refuse(answer, 403, "not from a web page");
            } else if (sent == null || !MessageDigest.isEqual(bytes(sent), authorization)) {
                refuse(answer, 401, "only nginx may use this port");
            } else {
                next.doFilter(request, response);
            }
        }

        private void refuse(HttpServletResponse answer, int status, String reason)
                throws IOException {
            answer.setStatus(status);
            answer.setContentType("application/json");
            answer.getOutputStream().write(bytes("{\"errors\":[\"" + reason + "\"]}"));
        }
    }
}
