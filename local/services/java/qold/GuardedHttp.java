package qold;

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
import org.kairosdb.core.KairosRootConfig;
import org.kairosdb.core.http.WebServletModule;

/**
 * KairosDB's HTTP interface with a password on every path of /api.
 *
 * Takes the place of `service.http`: where this class cannot be loaded, KairosDB serves no HTTP.
 * Its own basic authentication leaves /api/v1/health/* open, and with it every path that Jetty
 * decodes to one below it.
 */
public class GuardedHttp extends WebServletModule {
    private final byte[] authorization;
    private final Set<String> hosts;

    public GuardedHttp(KairosRootConfig configuration) {
        super(configuration);
        authorization = bytes(configuration.getString("kairosdb.guard.authorization"));
        String port = configuration.getString("kairosdb.jetty.port");
        hosts = Set.of("127.0.0.1:" + port, "localhost:" + port);
    }

    @Override
    protected void configureServlets() {
        filter("/*").through(new Guard());
        super.configureServlets();
    }

    private static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
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
