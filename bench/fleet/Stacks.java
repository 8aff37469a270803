import com.sun.net.httpserver.HttpsConfigurator;
import com.sun.net.httpserver.HttpsParameters;
import com.sun.net.httpserver.HttpsServer;
import java.io.FileInputStream;
import java.net.InetSocketAddress;
import java.security.KeyStore;
import java.security.Security;
import java.util.concurrent.Executors;
import javax.net.ssl.*;

/** Web servers on Java's own TLS: each argument is "address port keystore protocols suites client". */
public class Stacks {
    public static void main(String[] arguments) throws Exception {
        Security.setProperty("jdk.tls.disabledAlgorithms", "");
        Security.setProperty("jdk.certpath.disabledAlgorithms", "");
        Security.setProperty("jdk.tls.legacyAlgorithms", "");
        char[] word = "changeit".toCharArray();
        for (String argument : arguments) {
            String[] part = argument.split(" ");
            KeyStore store = KeyStore.getInstance("PKCS12");
            try (FileInputStream in = new FileInputStream(part[2])) { store.load(in, word); }
            KeyManagerFactory keys = KeyManagerFactory.getInstance("SunX509");
            keys.init(store, word);
            TrustManager all = new X509TrustManager() {
                public void checkClientTrusted(java.security.cert.X509Certificate[] c, String a) {}
                public void checkServerTrusted(java.security.cert.X509Certificate[] c, String a) {}
                public java.security.cert.X509Certificate[] getAcceptedIssuers() {
                    return new java.security.cert.X509Certificate[0];
                }
            };
            SSLContext context = SSLContext.getInstance("TLS");
            context.init(keys.getKeyManagers(), new TrustManager[] {all}, null);
            HttpsServer server = HttpsServer.create(new InetSocketAddress(part[0], Integer.parseInt(part[1])), 128);
            server.setHttpsConfigurator(new HttpsConfigurator(context) {
                @Override public void configure(HttpsParameters parameters) {
                    SSLParameters own = context.getDefaultSSLParameters();
                    own.setProtocols(part[3].split(","));
                    if (!part[4].equals("-")) own.setCipherSuites(part[4].split(","));
                    if (part[5].equals("need")) own.setNeedClientAuth(true);
                    if (part[5].equals("want")) own.setWantClientAuth(true);
                    parameters.setSSLParameters(own);
                }
            });
            server.createContext("/", exchange -> {
                boolean here = exchange.getRequestURI().getPath().equals("/");
                byte[] body = (here ? "Xin chao" : "not found").getBytes();
                exchange.getResponseHeaders().set("Strict-Transport-Security", "max-age=31536000; includeSubDomains");
                exchange.getResponseHeaders().set("Content-Security-Policy", "default-src 'self'; frame-ancestors 'none'");
                exchange.getResponseHeaders().set("X-Content-Type-Options", "nosniff");
                exchange.sendResponseHeaders(exchange.getRequestMethod().equals("GET") ? (here ? 200 : 404) : 405, body.length);
                exchange.getResponseBody().write(body);
                exchange.close();
            });
            server.setExecutor(Executors.newCachedThreadPool());
            server.start();
        }
    }
}
