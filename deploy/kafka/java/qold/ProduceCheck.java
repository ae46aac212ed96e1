package qold;

import com.github.luben.zstd.ZstdInputStreamNoFinalizer;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.util.Arrays;
import javax.net.ssl.SSLException;
import org.apache.kafka.common.message.ProduceRequestData;
import org.apache.kafka.common.message.ProduceRequestData.PartitionProduceData;
import org.apache.kafka.common.message.ProduceRequestData.TopicProduceData;
import org.apache.kafka.common.protocol.ApiKeys;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.record.internal.MemoryRecords;
import org.apache.kafka.common.requests.RequestHeader;
import org.apache.kafka.common.utils.ByteUtils;

/** Follows the requests of one connection and throws SSLException at one that a gateway never sends. */
final class ProduceCheck {
    // Bytes of a request: a batch of the broker's message.max.bytes, 4 MiB, and its headers.
    private static final int MAX_REQUEST = 5 << 20;
    // Bytes of all batches of a request after decompression: what a reader of the log takes of one
    // (qold/domain/log_limits.py). A gateway's request has one batch, of 1 MB or one report.
    private static final int MAX_UNPACKED = 8 << 20;
    // Records of a batch; librdkafka's batch.num.messages. The broker makes an object of 60 bytes of
    // each while it checks them.
    private static final int MAX_RECORDS = 10_000;
    // Of a record batch, format 2.
    private static final int HEAD = 61;
    private static final int BEFORE_LENGTH = 12;
    private static final int LENGTH_AT = 8, FORMAT_AT = 16, ATTRIBUTES_AT = 21, COUNT_AT = 57;
    private static final int CODEC = 0x07, NONE = 0, ZSTD = 4;

    private final ByteBuffer size = ByteBuffer.allocate(Integer.BYTES);
    private byte[] frame = new byte[0];
    private int expected;
    private int received;
    private int unpacked;

    void accept(ByteBuffer bytes) throws SSLException {
        while (bytes.hasRemaining()) {
            if (expected == 0 && !hasSize(bytes))
                return;
            int taken = Math.min(expected - received, bytes.remaining());
            // It grows with what has come, not with what is announced.
            if (frame.length < received + taken)
                frame = Arrays.copyOf(frame, Math.min(expected, 2 * (received + taken)));
            bytes.get(frame, received, taken);
            received += taken;
            if (received == expected) {
                check(ByteBuffer.wrap(frame, 0, expected));
                frame = new byte[0];
                expected = received = 0;
            }
        }
    }

    private boolean hasSize(ByteBuffer bytes) throws SSLException {
        while (size.hasRemaining() && bytes.hasRemaining())
            size.put(bytes.get());
        if (size.hasRemaining())
            return false;
        expected = size.flip().getInt();
        size.clear();
        if (expected < Short.BYTES || expected > MAX_REQUEST)
            throw new SSLException("a request of " + expected + " bytes at the edge");
        return true;
    }

    private void check(ByteBuffer request) throws SSLException {
        if (request.getShort(0) != ApiKeys.PRODUCE.id)
            return;
        unpacked = 0;
        try {
            short version = RequestHeader.parse(request).apiVersion();
            ProduceRequestData data = new ProduceRequestData(new ByteBufferAccessor(request), version);
            for (TopicProduceData topic : data.topicData())
                for (PartitionProduceData partition : topic.partitionData())
                    if (partition.records() != null)
                        checkBatches(((MemoryRecords) partition.records()).buffer());
        } catch (RuntimeException | IOException e) {
            throw new SSLException("refused at the edge: " + e.getMessage());
        }
    }

    private void checkBatches(ByteBuffer records) throws IOException {
        while (records.hasRemaining()) {
            int start = records.position();
            int length = BEFORE_LENGTH + records.getInt(start + LENGTH_AT);
            int count = records.getInt(start + COUNT_AT);
            if (records.get(start + FORMAT_AT) != 2 || length < HEAD || length > records.remaining())
                throw new IOException("no batch of format 2");
            if (count < 1 || count > MAX_RECORDS)
                throw new IOException("a batch of " + count + " records");
            ByteBuffer payload = records.slice(start + HEAD, length - HEAD);
            switch (records.getShort(start + ATTRIBUTES_AT) & CODEC) {
                case NONE -> checkRecords(payload, count);
                case ZSTD -> checkUnpacked(payload);
                default -> throw new IOException("a codec other than zstd");
            }
            records.position(start + length);
        }
    }

    /** The broker makes objects of headers; a gateway sends none. */
    private static void checkRecords(ByteBuffer payload, int count) throws IOException {
        for (int i = 0; i < count; i++) {
            int after = ByteUtils.readVarint(payload);
            after += payload.position();
            payload.get();
            ByteUtils.readVarlong(payload);
            ByteUtils.readVarint(payload);
            for (int field = 0; field < 2; field++) {
                int length = ByteUtils.readVarint(payload);
                payload.position(payload.position() + Math.max(0, length));
            }
            if (ByteUtils.readVarint(payload) != 0)
                throw new IOException("a record with headers");
            if (payload.position() != after)
                throw new IOException("a record of another length");
        }
    }

    private void checkUnpacked(ByteBuffer payload) throws IOException {
        byte[] packed = new byte[payload.remaining()];
        payload.get(packed);
        byte[] scratch = new byte[64 << 10];
        try (InputStream stream = new ZstdInputStreamNoFinalizer(new ByteArrayInputStream(packed))) {
            for (int got = stream.read(scratch); got >= 0; got = stream.read(scratch)) {
                unpacked += got;
                if (unpacked > MAX_UNPACKED)
                    throw new IOException("batches that unpack to more than " + MAX_UNPACKED + " bytes");
            }
        }
    }
}
