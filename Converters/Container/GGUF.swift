/// The part of GGUF v3 that packed files use.
package enum GGUF {
    static let magic: UInt32 = 0x4655_4747
    static let version: UInt32 = 3
    static let alignment = 64

    /// Types of tensors.
    package enum TensorType: UInt32, Sendable {
        case f32 = 0, f16 = 1, q8_0 = 8, i8 = 24

        /// Values in a block and bytes of a block.
        var block: (values: Int, bytes: Int) {
            switch self {
            case .f32: (1, 4)
            case .f16: (1, 2)
            case .q8_0: (32, Q8Block.bytes)
            case .i8: (1, 1)
            }
        }
    }

    /// Values of metadata.
    package enum Value: Equatable, Sendable {
        case uint32(UInt32)
        case int32(Int32)
        case string(String)
        case uint32s([UInt32])
        case strings([String])
    }

    /// The numbers that stand for kinds of values in a file.
    fileprivate enum Kind {
        static let uint32: UInt32 = 4, int32: UInt32 = 5, string: UInt32 = 8, array: UInt32 = 9
    }

    package struct Tensor: Equatable, Sendable {
        package var name: String
        /// The fastest dimension first.
        package var dimensions: [Int]
        package var type: TensorType
        /// From the start of the data section.
        package var offset: Int
        package var bytes: Int
    }

    /// Everything before the data.
    package struct Header: Equatable, Sendable {
        package var metadata: [(key: String, value: Value)] = []
        package var tensors: [Tensor] = []

        package static func == (one: Header, other: Header) -> Bool {
            one.tensors == other.tensors && one.metadata.elementsEqual(other.metadata) { $0 == $1 }
        }

        package subscript(key: String) -> Value? {
            get { metadata.first { $0.key == key }?.value }
            set {
                let index = metadata.firstIndex { $0.key == key }
                switch (index, newValue) {
                case (let index?, let value?): metadata[index].value = value
                case (nil, let value?): metadata.append((key, value))
                case (let index?, nil): metadata.remove(at: index)
                case (nil, nil): break
                }
            }
        }

        /// Adds a tensor behind the others.
        mutating func append(name: String, dimensions: [Int], type: TensorType, bytes: Int) {
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
            put(magic)
            put(version)
            put(UInt64(tensors.count))
            put(UInt64(metadata.count))
            for (key, value) in metadata {
                put(key)
                switch value {
                case .uint32(let value):
                    put(Kind.uint32)
                    put(value)
                case .int32(let value):
                    put(Kind.int32)
                    put(value)
                case .string(let value):
                    put(Kind.string)
                    put(value)
                case .uint32s(let values):
                    put(Kind.array)
                    put(Kind.uint32)
                    put(UInt64(values.count))
                    for value in values { put(value) }
                case .strings(let values):
                    put(Kind.array)
                    put(Kind.string)
                    put(UInt64(values.count))
                    for value in values { put(value) }
                }
            }
            for tensor in tensors {
                put(tensor.name)
                put(UInt32(tensor.dimensions.count))
                for dimension in tensor.dimensions { put(UInt64(dimension)) }
                put(tensor.type.rawValue)
                put(UInt64(tensor.offset))
            }
            bytes += [UInt8](repeating: 0, count: aligned(bytes.count) - bytes.count)
            return bytes
        }
    }

    static func aligned(_ size: Int) -> Int { (size + alignment - 1) / alignment * alignment }
}

extension GGUF.Header {
    /// Reads the header of a mapped file and checks that every tensor lies inside the file, aligned, one behind the other. Returns it with
    /// the offset of the data.
    package static func read(_ file: MappedFile) throws(ConversionError) -> (header: GGUF.Header, dataOffset: Int) {
        var reader = ByteReader(file.bytes, file: file.path, section: "header")
        func string(_ reader: inout ByteReader) throws(ConversionError) -> String { try reader.string(try reader.integer(UInt64.self)) }
        func count(_ reader: inout ByteReader, _ what: String, atLeast size: Int) throws(ConversionError) -> Int {
            let count = try reader.integer(UInt64.self)
            guard count <= UInt64(reader.remaining / size) else { throw reader.failure("\(count) \(what) cannot fit in the file") }
            return Int(count)
        }

        guard try reader.integer(UInt32.self) == GGUF.magic else { throw reader.failure("is not a GGUF file") }
        let version = try reader.integer(UInt32.self)
        guard version == GGUF.version else { throw reader.failure("GGUF version \(version), expected \(GGUF.version)") }
        let tensorCount = try count(&reader, "tensors", atLeast: 32)
        let valueCount = try count(&reader, "metadata values", atLeast: 13)

        var header = GGUF.Header()
        var names: Set<String> = []
        for _ in 0..<valueCount {
            let key = try string(&reader)
            guard names.insert(key).inserted else { throw reader.failure("the key \(key) is there twice") }
            let value: GGUF.Value
            switch try reader.integer(UInt32.self) {
            case GGUF.Kind.uint32: value = .uint32(try reader.integer(UInt32.self))
            case GGUF.Kind.int32: value = .int32(try reader.integer(Int32.self))
            case GGUF.Kind.string: value = .string(try string(&reader))
            case GGUF.Kind.array:
                switch try reader.integer(UInt32.self) {
                case GGUF.Kind.uint32:
                    var values: [UInt32] = []
                    for _ in 0..<(try count(&reader, "values of \(key)", atLeast: 4)) { values.append(try reader.integer(UInt32.self)) }
                    value = .uint32s(values)
                case GGUF.Kind.string:
                    var values: [String] = []
                    for _ in 0..<(try count(&reader, "values of \(key)", atLeast: 8)) { values.append(try string(&reader)) }
                    value = .strings(values)
                case let kind: throw reader.failure("\(key) is an array of unknown kind \(kind)")
                }
            case let kind: throw reader.failure("\(key) is of unknown kind \(kind)")
            }
            header.metadata.append((key, value))
        }
        guard header[FileSchema.Key.alignment] == .uint32(UInt32(GGUF.alignment)) else {
            throw reader.failure("\(FileSchema.Key.alignment) is not \(GGUF.alignment)")
        }

        names = []
        for _ in 0..<tensorCount {
            let name = try string(&reader)
            guard names.insert(name).inserted else { throw reader.failure("the tensor \(name) is there twice") }
            let rank = try reader.integer(UInt32.self)
            guard (1...4).contains(rank) else { throw reader.failure("\(name) has \(rank) dimensions") }
            var dimensions: [Int] = [], values = 1
            for _ in 0..<rank {
                let size = try reader.integer(UInt64.self)
                let (product, overflow) = values.multipliedReportingOverflow(by: Int(clamping: size))
                guard size > 0, !overflow, product <= file.bytes.count else { throw reader.failure("\(name) is larger than the file") }
                dimensions.append(Int(size))
                values = product
            }
            let rawType = try reader.integer(UInt32.self)
            guard let type = GGUF.TensorType(rawValue: rawType) else { throw reader.failure("\(name) has the unknown type \(rawType)") }
            guard dimensions[0].isMultiple(of: type.block.values) else {
                throw reader.failure("\(name): rows of \(dimensions[0]) values are not whole blocks of \(type.block.values)")
            }
            let offset = try reader.integer(UInt64.self)
            header.append(name: name, dimensions: dimensions, type: type, bytes: values / type.block.values * type.block.bytes)
            guard let expected = header.tensors.last?.offset, offset == expected else {
                throw reader.failure("\(name) lies at \(offset) of the data, expected \(header.tensors.last?.offset ?? 0)")
            }
        }
        let dataOffset = GGUF.aligned(reader.position)
        let end = header.tensors.last.map { dataOffset + GGUF.aligned($0.offset + $0.bytes) } ?? dataOffset
        guard end == file.bytes.count else { throw reader.failure("the file has \(file.bytes.count) bytes, expected \(end)") }
        return (header, dataOffset)
    }
}
