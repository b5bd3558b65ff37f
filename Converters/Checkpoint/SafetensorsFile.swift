import Foundation
import Rudolph

/// The safetensors format: the length of a JSON header, the header, the data.
enum SafetensorsFile {
    private struct Entry: Decodable {
        let dtype: String
        let shape: [JSONInteger]
        let data_offsets: [JSONInteger]
    }

    /// `__metadata__` is a dictionary of strings, everything else an `Entry`.
    private enum Item: Decodable {
        case entry(Entry)
        case metadata

        init(from decoder: any Decoder) throws {
            self = decoder.codingPath.last?.stringValue == "__metadata__" ? .metadata : .entry(try Entry(from: decoder))
        }
    }

    private static let types: [String: ElementType] = [
        "F16": .float16, "BF16": .bfloat16, "F32": .float32, "F64": .float64, "U8": .uint8, "I8": .int8, "I16": .int16, "I32": .int32,
        "I64": .int64, "BOOL": .bool,
    ]

    /// In bytes. Parsing JSON takes 30 times its size, and names and shapes of a checkpoint take much less (about 60 kB of 2.7B).
    private static let largestHeader = 1 << 20

    static func isSafetensors(_ bytes: UnsafeRawBufferPointer) -> Bool {
        bytes.count > 9 && bytes[8] == UInt8(ascii: "{")
            && bytes.loadUnaligned(as: UInt64.self).littleEndian <= UInt64(min(bytes.count - 8, 100_000_000))
    }

    static func tensors(_ file: MappedFile) throws(ConversionError) -> [(name: String, content: Checkpoint.Content)] {
        var reader = ByteReader(file.bytes, file: file.path, section: "safetensors header")
        let header = try reader.take(try reader.integer(UInt64.self))
        guard header.count <= largestHeader else {
            throw .invalid(file: file.path, reason: "safetensors header: \(header.count) bytes, expected at most \(largestHeader)")
        }
        let items: [String: Item]
        do {
            items = try JSONDecoder().decode([String: Item].self, from: Data(header))
        } catch {
            throw .invalid(file: file.path, reason: "safetensors header: \((error as? DecodingError)?.inWords ?? "\(error)")")
        }
        let data = UnsafeRawBufferPointer(rebasing: file.bytes[reader.position...])
        var found: [(name: String, content: Checkpoint.Content)] = []
        for (name, item) in items.sorted(by: { $0.key < $1.key }) {
            guard case .entry(let entry) = item else { continue }
            guard let type = types[entry.dtype] else {
                found.append((name, .unread(type: entry.dtype)))
                continue
            }
            let shape = entry.shape.map(\.value), offsets = entry.data_offsets.map(\.value)
            guard offsets.count == 2, case let (start, end) = (offsets[0], offsets[1]), start >= 0, start <= end, end <= data.count else {
                throw .invalid(file: file.path, reason: "\(name): its bytes \(offsets) are not inside the \(data.count) of the data")
            }
            guard shape.count <= TensorView.mostDimensions else {
                throw .invalid(file: file.path, reason: "\(name) has \(shape.count) dimensions, expected at most \(TensorView.mostDimensions)")
            }
            var strides: [Int] = [], count = 1
            for size in shape.reversed() {
                strides.insert(count, at: 0)
                let (product, overflow) = count.multipliedReportingOverflow(by: size)
                guard !overflow else { throw .invalid(file: file.path, reason: "\(name): shape \(shape) is too large") }
                count = product
            }
            do {
                found.append(
                    (name,
                    .tensor(
                        try TensorView(
                            type: type, shape: shape, strides: strides, offset: 0,
                            storage: UnsafeRawBufferPointer(rebasing: data[start..<end]), file: file))))
            } catch .invalid(_, let reason) {
                throw .invalid(file: file.path, reason: "\(name): \(reason)")
            }
        }
        return found
    }
}
