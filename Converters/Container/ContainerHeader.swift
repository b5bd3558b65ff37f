import Rudolph

/// The value of a key in a packed file, as it is written.
package enum MetadataValue: Equatable, Sendable {
    case uint32(UInt32)
    case int32(Int32)
    case string(String)
    case uint32s([UInt32])
    case strings([String])
    /// Type and bytes as they stand in another file.
    case copied([UInt8])
}

/// Everything before the data of a packed file that is to be written; `Rudolph.GGUF` reads it.
struct ContainerHeader {
    struct Tensor {
        let name: String
        /// The fastest dimension first.
        let dimensions: [Int]
        let type: GGUF.TensorType
        /// From the start of the data section.
        let offset: Int
        let bytes: Int
    }

    var metadata: [(key: String, value: MetadataValue)] = []
    private(set) var tensors: [Tensor] = []

    /// Replaces the value of a key, or adds it behind the others.
    mutating func set(_ key: String, _ value: MetadataValue) {
        if let index = metadata.firstIndex(where: { $0.key == key }) {
            metadata[index].value = value
        } else {
            metadata.append((key, value))
        }
    }

    /// Adds a tensor behind the others.
    mutating func append(name: String, dimensions: [Int], type: GGUF.TensorType, bytes: Int) {
        let offset = tensors.last.map { GGUF.aligned($0.offset + $0.bytes) } ?? 0
        tensors.append(Tensor(name: name, dimensions: dimensions, type: type, offset: offset, bytes: bytes))
    }

    /// The bytes before the data, padded to the alignment.
    func serialized() -> [UInt8] {
        var bytes: [UInt8] = []
        func put<T: FixedWidthInteger>(_ value: T) { withUnsafeBytes(of: value.littleEndian) { bytes += $0 } }
        func put(_ text: String) {
            put(UInt64(text.utf8.count))
            bytes += text.utf8
        }
        func put(list count: Int, of type: UInt32) {
            put(GGUF.ValueType.array)
            put(type)
            put(UInt64(count))
        }
        put(GGUF.magic)
        put(GGUF.version)
        put(UInt64(tensors.count))
        put(UInt64(metadata.count))
        for (key, value) in metadata {
            put(key)
            switch value {
            case .uint32(let value):
                put(GGUF.ValueType.u32)
                put(value)
            case .int32(let value):
                put(GGUF.ValueType.i32)
                put(value)
            case .string(let value):
                put(GGUF.ValueType.string)
                put(value)
            case .uint32s(let values):
                put(list: values.count, of: GGUF.ValueType.u32)
                for value in values { put(value) }
            case .strings(let values):
                put(list: values.count, of: GGUF.ValueType.string)
                for value in values { put(value) }
            case .copied(let value):
                bytes += value
            }
        }
        for tensor in tensors {
            put(tensor.name)
            put(UInt32(tensor.dimensions.count))
            for dimension in tensor.dimensions { put(UInt64(dimension)) }
            put(tensor.type.rawValue)
            put(UInt64(tensor.offset))
        }
        bytes += [UInt8](repeating: 0, count: GGUF.aligned(bytes.count) - bytes.count)
        return bytes
    }
}
