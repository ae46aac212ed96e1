package qold.storm;

import java.net.InetAddress;
import java.net.UnknownHostException;
import java.util.Map;
import org.apache.storm.Config;
import org.apache.storm.utils.Utils;

/** The one address that a machine of the cluster listens on: that of `storm.local.hostname`. */
final class OwnAddress {
    private OwnAddress() {
    }

    static InetAddress of(Map<String, Object> conf) throws UnknownHostException {
        Object name = conf.get(Config.STORM_LOCAL_HOSTNAME);
        InetAddress address = InetAddress.getByName(name == null ? Utils.hostname() : name.toString());
        if (address.isAnyLocalAddress()) {
            throw new UnknownHostException(Config.STORM_LOCAL_HOSTNAME + " is every address: " + name);
        }
        return address;
    }
}
