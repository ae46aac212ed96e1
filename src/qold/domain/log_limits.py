"""Limits of what a reader takes from the log into memory; larger records are skipped and rejected."""

# Bytes of one value: the largest report that is opened, and the broker's `message.max.bytes`. A
# value of this size crosses Storm as one tuple of 5.6 MB, which a worker with 256 MB of heap holds.
MAX_VALUE_BYTES = 4 * 2**20
# Bytes of one batch of records after decompression: two of the largest values. Producers of ours
# close a batch at 1 MB or one value. A reader holds one unpacked batch for each of its partitions.
MAX_BATCH_BYTES = 2 * MAX_VALUE_BYTES
