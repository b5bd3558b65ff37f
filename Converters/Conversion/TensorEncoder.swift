import Dispatch

/// Reads a tensor a few rows at a time on several threads and hands the encoded bytes on in order. Memory does not depend on the
/// tensor's size: each thread holds about a million values.
struct TensorEncoder {
    /// Values that a thread works on between two writes.
    private static let chunk = 1 << 20

    private let threads: Int

    init(threads: Int) { self.threads = max(1, threads) }

    /// Encodes `tensor`; `emit` gets its bytes in order and the number of values that they stand for, and stops the work by throwing.
    /// Fails when a value is not finite or does not fit the encoding. `file` is the checkpoint's name, for messages.
    func encode(
        _ tensor: StoredTensor, file: String, emit: (UnsafeRawBufferPointer, _ values: Int) throws(ConversionError) -> Void
    ) throws(ConversionError) -> Distortion {
        let together = tensor.encoding.rowsTogether
        let wanted = max(1, Self.chunk / max(tensor.columns, 1) / together) * together
        let chunkRows = min(wanted, max(tensor.rows, 1))
        let lanes = (0..<min(threads, (tensor.rows + chunkRows - 1) / chunkRows)).map { _ in Lane(tensor, rows: chunkRows) }

        var total = Distortion()
        for first in stride(from: 0, to: tensor.rows, by: chunkRows * max(lanes.count, 1)) {
            DispatchQueue.concurrentPerform(iterations: lanes.count) { index in
                let start = first + index * chunkRows
                lanes[index].encode(min(start, tensor.rows)..<min(start + chunkRows, tensor.rows))
            }
            for lane in lanes where !lane.rows.isEmpty {
                try lane.checkFinite(file: file)
                total += lane.distortion
                try emit(lane.bytes, lane.rows.count * tensor.columns)
            }
            tensor.source.release()
        }
        return total
    }
}

/// The buffers of one thread and what it made of its rows. Used by one thread at a time.
private final class Lane: @unchecked Sendable {
    private let tensor: StoredTensor
    private let original: UnsafeMutablePointer<Float>
    private let copy: UnsafeMutablePointer<Float>
    private let encoded: UnsafeMutableRawPointer

    private(set) var rows = 0..<0
    private(set) var distortion = Distortion()

    init(_ tensor: StoredTensor, rows: Int) {
        self.tensor = tensor
        original = .allocate(capacity: rows * tensor.columns)
        copy = .allocate(capacity: rows * tensor.columns)
        encoded = .allocate(byteCount: tensor.encoding.bytes(rows: rows, columns: tensor.columns), alignment: 64)
    }

    deinit {
        original.deallocate()
        copy.deallocate()
        encoded.deallocate()
    }

    var bytes: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: encoded, count: tensor.encoding.bytes(rows: rows.count, columns: tensor.columns))
    }

    func encode(_ rows: Range<Int>) {
        self.rows = rows
        tensor.source.copy(rows: rows, to: original)
        tensor.encoding.encode(original, rows: rows.count, columns: tensor.columns, to: encoded)
        tensor.encoding.decode(encoded, rows: rows.count, columns: tensor.columns, to: copy)
        distortion = Distortion(of: original, copy, count: rows.count * tensor.columns)
    }

    func checkFinite(file: String) throws(ConversionError) {
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
