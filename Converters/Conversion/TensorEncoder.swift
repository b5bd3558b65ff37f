import Dispatch

/// Reads tensors a few rows at a time on several threads and hands the encoded bytes on in order. Memory depends neither on a tensor's
/// size nor on the number of tensors: each thread holds about a million values.
struct TensorEncoder {
    /// Values that a thread works on between two writes.
    private static let chunk = 1 << 20

    private let lanes: [Lane]

    /// An encoder for `tensors`, whose buffers are made once and for all.
    init(threads: Int, for tensors: [StoredTensor]) {
        let values = tensors.map { Self.rowsAtOnce($0) * $0.columns }.max() ?? 0
        let bytes = tensors.map { $0.encoding.bytes(rows: Self.rowsAtOnce($0), columns: $0.columns) }.max() ?? 0
        lanes = (0..<max(1, threads)).map { _ in Lane(values: values, bytes: bytes) }
    }

    private static func rowsAtOnce(_ tensor: StoredTensor) -> Int {
        let together = tensor.encoding.rowsTogether
        return min(max(1, chunk / max(tensor.columns, 1) / together) * together, max(tensor.rows, 1))
    }

    /// Encodes `tensor`, with `feedback` where it is given; `emit` gets its bytes in order and the number of values that they stand for, and
    /// stops the work by throwing.
    /// Fails when a value is not finite or does not fit the encoding. `file` is the checkpoint's name, for messages.
    func encode(
        _ tensor: StoredTensor, feedback: ErrorFeedback? = nil, file: String,
        emit: (UnsafeRawBufferPointer, _ values: Int) throws(ConversionError) -> Void
    ) throws(ConversionError) -> Distortion {
        // Every thread has a share of a matrix, even of one that is a single chunk.
        let together = tensor.encoding.rowsTogether, share = (tensor.rows + lanes.count - 1) / lanes.count
        let step = min(Self.rowsAtOnce(tensor), max(1, (share + together - 1) / together) * together), lanes = lanes
        var total = Distortion()
        for first in stride(from: 0, to: tensor.rows, by: step * lanes.count) {
            DispatchQueue.concurrentPerform(iterations: lanes.count) { index in
                let start = first + index * step
                lanes[index].encode(tensor, feedback, min(start, tensor.rows)..<min(start + step, tensor.rows))
            }
            for lane in lanes where !lane.rows.isEmpty {
                try lane.checkFinite(tensor, file: file)
                total += lane.distortion
                try emit(lane.bytes(of: tensor), lane.rows.count * tensor.columns)
            }
            tensor.source.release()
        }
        return total
    }
}

/// The buffers of one thread and what it made of its rows. Used by one thread at a time.
private final class Lane: @unchecked Sendable {
    private let original: UnsafeMutablePointer<Float>
    private let copy: UnsafeMutablePointer<Float>
    private let encoded: UnsafeMutableRawPointer

    private(set) var rows = 0..<0
    private(set) var distortion = Distortion()

    init(values: Int, bytes: Int) {
        original = .allocate(capacity: values)
        copy = .allocate(capacity: values)
        encoded = .allocate(byteCount: bytes, alignment: 64)
    }

    deinit {
        original.deallocate()
        copy.deallocate()
        encoded.deallocate()
    }

    func bytes(of tensor: StoredTensor) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: encoded, count: tensor.encoding.bytes(rows: rows.count, columns: tensor.columns))
    }

    func encode(_ tensor: StoredTensor, _ feedback: ErrorFeedback?, _ rows: Range<Int>) {
        self.rows = rows
        tensor.source.copy(rows: rows, to: original)
        tensor.encoding.encode(original, rows: rows.count, columns: tensor.columns, feedback: feedback, to: encoded)
        tensor.encoding.decode(encoded, rows: rows.count, columns: tensor.columns, to: copy)
        distortion = Distortion(of: original, copy, count: rows.count * tensor.columns)
    }

    func checkFinite(_ tensor: StoredTensor, file: String) throws(ConversionError) {
        guard !distortion.signal.isFinite || !distortion.noise.isFinite else { return }
        let values = 0..<rows.count * tensor.columns
        guard let index = values.first(where: { !original[$0].isFinite }) ?? values.first(where: { !copy[$0].isFinite }) else { return }
        let (row, column) = index.quotientAndRemainder(dividingBy: tensor.columns)
        throw .invalid(
            file: file,
            reason: "\(tensor.name): the value \(original[index]) in row \(rows.lowerBound + row), column \(column) "
                + (original[index].isFinite ? "does not fit the type" : "is not finite"))
    }
}
