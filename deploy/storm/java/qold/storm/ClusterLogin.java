package qold.storm;

import java.util.Map;
import org.apache.storm.Config;
import org.apache.storm.generated.InvalidTopologyException;
import org.apache.storm.generated.StormTopology;
import org.apache.storm.nimbus.DefaultTopologyValidator;

/**
 * Nimbus gives each topology that is submitted the login that it has at ZooKeeper itself.
 *
 * <p>Storm's own client makes up a login of the topology's before it submits; streamparse does not, and
 * Nimbus would refuse it. ZooKeeper 3.9 does not show such a login the node that all others are below.
 */
public class ClusterLogin extends DefaultTopologyValidator {
    private Object scheme;
    private Object payload;

    @Override
    public void prepare(Map<String, Object> conf) {
        scheme = conf.get(Config.STORM_ZOOKEEPER_AUTH_SCHEME);
        payload = conf.get(Config.STORM_ZOOKEEPER_AUTH_PAYLOAD);
    }

    @Override
    @SuppressWarnings({"rawtypes", "unchecked"}) // as the superclass declares it
    public void validate(String name, Map conf, StormTopology topology) throws InvalidTopologyException {
        super.validate(name, conf, topology);
        if (payload != null) {
            conf.put(Config.STORM_ZOOKEEPER_TOPOLOGY_AUTH_SCHEME, scheme);
            conf.put(Config.STORM_ZOOKEEPER_TOPOLOGY_AUTH_PAYLOAD, payload);
        }
    }
}
