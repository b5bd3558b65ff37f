/// The header of a GGUF v3 file: metadata and where each tensor lies. See Docs/FORMAT.md.
///
/// Every count is compared with what the file could hold and with what is sensible, and every extent lies inside the file, before anything is
/// allocated.
package struct GGUF {
    /// "GGUF", the version and what every tensor's offset is a multiple of.
    package static let magic: UInt32 = 0x4655_4747
    package static let version: UInt32 = 3
    package static let alignment = 64

    /// Far more than any model has, and little enough to be kept in memory: a damaged or sparse file may claim anything.
    private enum Limit {
        static let tensors = 1 << 16, entries = 1 << 12, texts = 1 << 16, elements = 1 << 24, bytesOfText = 1 << 20
        /// Of all keys, names, texts and lists of numbers together, `bytesEachText` and its length for a text: each of the others allows far more
        /// than memory in their sum.
        static let bytes = 64 << 20
        static let bytesEachText = 16
    }

    package enum Value {
        case unsigned(UInt64)
        case signed(Int64)
        case float(Double)
        case string(String)
        case boolean(Bool)
        /// `count` little-endian elements of a fixed size, at `offset` in the file.
        case array(type: UInt32, count: Int, offset: Int)
        case strings([String])
    }

    /// A key with its value, in the order of the file.
    package struct Entry {
        package let key: String
        package let value: Value
        /// Where the value's type and bytes lie in the file.
        package let range: Range<Int>
    }

    /// The numbers that stand for types of values; the others are scalars too.
    package enum ValueType {
        package static let u32: UInt32 = 4, i32: UInt32 = 5, string: UInt32 = 8, array: UInt32 = 9
    }

    package struct Tensor {
        package let name: String
        /// Innermost dimension first, as GGUF stores it.
        package let dimensions: [Int]
        package let type: TensorType
        /// Byte range in the file.
        package let range: Range<Int>
    }

    /// The tensor types of GGUF that a model file may use.
    package enum TensorType: UInt32, Sendable {
        case f32 = 0
        case f16 = 1
        case q8_0 = 8
        case i8 = 24

        /// Elements in a block, and its bytes.
        package var block: (elements: Int, bytes: Int) {
            switch self {
            case .f32: (1, 4)
            case .f16: (1, 2)
            case .q8_0: (32, 34)
            case .i8: (1, 1)
            }
        }
    }

    package let file: MappedFile
    package let metadata: [Entry]
    package let tensors: [Tensor]
    private let keyIndices: [String: Int]
    let tensorIndices: [String: Int]
    /// Where the tensors begin.
    package let dataOffset: Int

    package init(_ file: MappedFile) throws(RudolphError) {
        var reader = Reader(file: file)
        try Self.readBeginning(&reader)
        let tensorCount = try reader.count("tensors", bytesEach: 32, atMost: Limit.tensors)
        let metadataCount = try reader.count("metadata entries", bytesEach: 13, atMost: Limit.entries)
        let (metadata, keyIndices) = try Self.readMetadata(&reader, count: metadataCount)
        try Self.checkAlignment(keyIndices[FileSchema.Key.alignment].map { metadata[$0].value }, file)
        let (unplaced, tensorIndices) = try Self.readTensors(&reader, count: tensorCount)
        // The reader's offset lies inside the file, so rounding it up cannot overflow.
        let dataOffset = Self.aligned(reader.offset)
        var tensors: [Tensor] = []
        tensors.reserveCapacity(unplaced.count)
        for tensor in unplaced { tensors.append(try tensor.placed(in: file, behind: dataOffset)) }
        self.file = file
        self.metadata = metadata
        self.keyIndices = keyIndices
        self.tensors = tensors
        self.tensorIndices = tensorIndices
        self.dataOffset = dataOffset
    }

    private static func readBeginning(_ reader: inout Reader) throws(RudolphError) {
        let path = reader.file.path
        let magic = try reader.u32("the magic")
        guard magic == Self.magic else {
            throw .invalidFile("\(path): not a model file: it begins with \(hex(magic)), expected 47475546 (\"GGUF\")")
        }
        let version = try reader.u32("the version")
        guard version == Self.version else { throw .invalidFile("\(path): GGUF version \(version), expected \(Self.version)") }
    }

    private static func readMetadata(_ reader: inout Reader, count: Int) throws(RudolphError) -> ([Entry], indices: [String: Int]) {
        var metadata: [Entry] = []
        var indices: [String: Int] = [:]
        for index in 0..<count {
            let key = try reader.string("a metadata key")
            let start = reader.offset
            metadata.append(Entry(key: key, value: try reader.value(of: key), range: start..<reader.offset))
            guard indices.updateValue(index, forKey: key) == nil else {
                throw .invalidFile("\(reader.file.path): the metadata key \(key) occurs twice")
            }
        }
        return (metadata, indices)
    }

    private static func checkAlignment(_ value: Value?, _ file: MappedFile) throws(RudolphError) {
        let key = FileSchema.Key.alignment
        switch value {
        case .unsigned(UInt64(alignment)): break
        case .unsigned(let other): throw .invalidFile("\(file.path): \(key) is \(other), expected \(alignment)")
        default: throw .invalidFile("\(file.path): \(key) is missing")
        }
    }

    private static func readTensors(_ reader: inout Reader, count: Int) throws(RudolphError) -> ([UnplacedTensor], indices: [String: Int]) {
        var tensors: [UnplacedTensor] = []
        var indices: [String: Int] = [:]
        for index in 0..<count {
            let tensor = try UnplacedTensor(&reader)
            guard indices.updateValue(index, forKey: tensor.name) == nil else {
                throw .invalidFile("\(reader.file.path): the tensor \(tensor.name) occurs twice")
            }
            tensors.append(tensor)
        }
        return (tensors, indices)
    }

    /// The next multiple of the alignment, for a `size` that lies inside a file.
    package static func aligned(_ size: Int) -> Int { (size + alignment - 1) / alignment * alignment }

    package subscript(key: String) -> Value? { keyIndices[key].map { metadata[$0].value } }

    func tensor(named name: String) throws(RudolphError) -> Tensor {
        guard let index = tensorIndices[name] else { throw .invalidFile("\(file.path): the tensor \(name) is missing") }
        return tensors[index]
    }

    package func string(_ key: String) throws(RudolphError) -> String {
        guard case .string(let value)? = self[key] else { throw .invalidFile("\(file.path): the text \(key) is missing") }
        return value
    }

    /// A number that must lie in `range`.
    package func integer(_ key: String, in range: ClosedRange<Int>) throws(RudolphError) -> Int {
        let found: Int?
        switch self[key] {
        case .unsigned(let value): found = Int(exactly: value)
        case .signed(let value): found = Int(exactly: value)
        default: throw .invalidFile("\(file.path): the number \(key) is missing")
        }
        guard let found, range.contains(found) else {
            throw .invalidFile(
                "\(file.path): \(key) is \(found.map { "\($0)" } ?? "too large"), expected \(range.lowerBound) to \(range.upperBound)")
        }
        return found
    }

    package func strings(_ key: String) throws(RudolphError) -> [String] {
        guard case .strings(let values)? = self[key] else {
            throw .invalidFile("\(file.path): the list of texts \(key) is missing")
        }
        return values
    }

    package func integers(_ key: String) throws(RudolphError) -> [UInt32] {
        guard case .array(type: ValueType.u32, let count, let offset)? = self[key] else {
            throw .invalidFile("\(file.path): the list of numbers \(key) is missing")
        }
        return [UInt32](unsafeUninitializedCapacity: count) { buffer, initialized in
            UnsafeMutableRawBufferPointer(buffer).copyMemory(from: UnsafeRawBufferPointer(rebasing: file.bytes[offset..<(offset + 4 * count)]))
            initialized = count
        }
    }

    static func hex(_ value: UInt32) -> String {
        var text = ""
        var rest = value
        for _ in 0..<4 {
            let byte = Int(rest & 0xff)
            let digits = Array("0123456789abcdef".utf8)
            text.unicodeScalars.append(Unicode.Scalar(digits[byte >> 4]))
            text.unicodeScalars.append(Unicode.Scalar(digits[byte & 15]))
            rest >>= 8
        }
        return text
    }
}

extension GGUF {
    /// A tensor as the header describes it, before it is known where the tensors begin.
    private struct UnplacedTensor {
        let name: String
        private let dimensions: [Int]
        private let type: TensorType
        private let bytes: Int
        /// From where the tensors begin.
        private let offset: UInt64

        init(_ reader: inout Reader) throws(RudolphError) {
            let path = reader.file.path
            name = try reader.string("a tensor name")
            let elements: Int
            (dimensions, elements) = try Self.readDimensions(&reader, of: name)
            let typeCode = try reader.u32("the type of \(name)")
            guard let type = TensorType(rawValue: typeCode) else {
                throw .invalidFile("\(path): tensor \(name) has type \(typeCode), expected 0 (f32), 1 (f16), 8 (q8_0) or 24 (i8)")
            }
            guard dimensions[0] % type.block.elements == 0 else {
                throw .invalidFile("\(path): the rows of tensor \(name) are no whole blocks of \(type.block.elements)")
            }
            let (bytes, overflow) = (elements / type.block.elements).multipliedReportingOverflow(by: type.block.bytes)
            guard !overflow else { throw .invalidFile("\(path): the size of tensor \(name) overflows") }
            offset = try reader.u64("the offset of \(name)")
            guard offset % UInt64(GGUF.alignment) == 0 else {
                throw .invalidFile("\(path): tensor \(name) lies at offset \(offset), expected a multiple of \(GGUF.alignment)")
            }
            self.type = type
            self.bytes = bytes
        }

        /// One dimension at least, and their product.
        private static func readDimensions(_ reader: inout Reader, of name: String) throws(RudolphError) -> ([Int], elements: Int) {
            let path = reader.file.path
            let rank = try reader.u32("the rank of \(name)")
            guard (1...4).contains(rank) else { throw .invalidFile("\(path): tensor \(name) has \(rank) dimensions, expected 1 to 4") }
            var dimensions: [Int] = []
            var elements = 1
            for _ in 0..<rank {
                let length = try reader.u64("a dimension of \(name)")
                guard let dimension = Int(exactly: length), dimension > 0 else {
                    throw .invalidFile("\(path): tensor \(name) has a dimension of \(length)")
                }
                let (product, overflow) = elements.multipliedReportingOverflow(by: dimension)
                guard !overflow else { throw .invalidFile("\(path): the size of tensor \(name) overflows") }
                elements = product
                dimensions.append(dimension)
            }
            return (dimensions, elements)
        }

        /// - Parameter start: where the tensors begin in the file.
        func placed(in file: MappedFile, behind start: Int) throws(RudolphError) -> Tensor {
            let size = file.bytes.count
            guard start <= size, bytes <= size - start, offset <= UInt64(size - start - bytes) else {
                throw .invalidFile(
                    "\(file.path): tensor \(name) (\(bytes) bytes at \(offset)) ends past the end of the file; the file is cut off or damaged")
            }
            let first = start + Int(offset)
            return Tensor(name: name, dimensions: dimensions, type: type, range: first..<(first + bytes))
        }
    }

    /// Reads the header front to back; never past the end of the file.
    private struct Reader {
        let file: MappedFile
        var offset = 0
        /// Of `Limit.bytes`, used so far.
        private var kept = 0

        init(file: MappedFile) {
            self.file = file
        }

        private mutating func take(_ count: Int, _ what: @autoclosure () -> String) throws(RudolphError) -> Int {
            guard count <= file.bytes.count - offset else {
                throw .invalidFile(
                    "\(file.path): ends at byte \(file.bytes.count) inside \(what()), which starts at \(offset); the file is cut off or damaged")
            }
            defer { offset += count }
            return offset
        }

        mutating func u32(_ what: @autoclosure () -> String) throws(RudolphError) -> UInt32 {
            file.bytes.loadUnaligned(fromByteOffset: try take(4, what()), as: UInt32.self)
        }

        mutating func u64(_ what: @autoclosure () -> String) throws(RudolphError) -> UInt64 {
            file.bytes.loadUnaligned(fromByteOffset: try take(8, what()), as: UInt64.self)
        }

        /// A count of things that take at least `bytesEach` bytes each.
        mutating func count(_ what: String, bytesEach: Int, atMost limit: Int) throws(RudolphError) -> Int {
            let value = try u64("the number of \(what)")
            guard value <= UInt64((file.bytes.count - offset) / bytesEach) else {
                throw .invalidFile("\(file.path): claims \(value) \(what), more than its \(file.bytes.count) bytes can hold")
            }
            guard value <= UInt64(limit) else { throw .invalidFile("\(file.path): has \(value) \(what), expected at most \(limit)") }
            return Int(value)
        }

        /// Counts what will be kept in memory; the limits of texts and lists are far below overflow.
        private mutating func keep(_ count: Int, _ what: @autoclosure () -> String) throws(RudolphError) {
            kept += count
            guard kept <= Limit.bytes else {
                throw .invalidFile("\(file.path): \(what()) makes \(kept) bytes of texts and lists, expected at most \(Limit.bytes)")
            }
        }

        mutating func string(_ what: @autoclosure () -> String) throws(RudolphError) -> String {
            let start = offset
            let length = try count("bytes in \(what())", bytesEach: 1, atMost: Limit.bytesOfText)
            try keep(Limit.bytesEachText + length, what())
            let bytes = UnsafeRawBufferPointer(rebasing: file.bytes[try take(length, what())..<offset])
            guard let text = String(validating: bytes, as: UTF8.self) else {
                throw .invalidFile("\(file.path): \(what()) at byte \(start) is not valid UTF-8")
            }
            return text
        }

        mutating func value(of key: String) throws(RudolphError) -> Value {
            let type = try u32("the type of \(key)")
            switch type {
            case ValueType.string:
                return .string(try string(key))
            case ValueType.array:
                let elementType = try u32("the element type of \(key)")
                if elementType == ValueType.string {
                    let count = try count("texts in \(key)", bytesEach: 8, atMost: Limit.texts)
                    var values: [String] = []
                    for _ in 0..<count { values.append(try string(key)) }
                    return .strings(values)
                }
                guard let size = Self.size(of: elementType) else {
                    throw .invalidFile("\(file.path): the list \(key) has elements of type \(elementType), which is not known")
                }
                let count = try count("elements in \(key)", bytesEach: size, atMost: Limit.elements)
                try keep(count * size, key)
                return .array(type: elementType, count: count, offset: try take(count * size, key))
            default:
                guard let size = Self.size(of: type) else {
                    throw .invalidFile("\(file.path): \(key) has type \(type), which is not known")
                }
                let start = try take(size, key)
                let bytes = file.bytes
                switch type {
                case 0: return .unsigned(UInt64(bytes[start]))
                case 1: return .signed(Int64(bytes.loadUnaligned(fromByteOffset: start, as: Int8.self)))
                case 2: return .unsigned(UInt64(bytes.loadUnaligned(fromByteOffset: start, as: UInt16.self)))
                case 3: return .signed(Int64(bytes.loadUnaligned(fromByteOffset: start, as: Int16.self)))
                case 4: return .unsigned(UInt64(bytes.loadUnaligned(fromByteOffset: start, as: UInt32.self)))
                case 5: return .signed(Int64(bytes.loadUnaligned(fromByteOffset: start, as: Int32.self)))
                case 6: return .float(Double(bytes.loadUnaligned(fromByteOffset: start, as: Float.self)))
                case 7: return .boolean(bytes[start] != 0)
                case 10: return .unsigned(bytes.loadUnaligned(fromByteOffset: start, as: UInt64.self))
                case 11: return .signed(bytes.loadUnaligned(fromByteOffset: start, as: Int64.self))
                default: return .float(bytes.loadUnaligned(fromByteOffset: start, as: Double.self))
                }
            }
        }

        /// Bytes of a scalar type of GGUF.
        private static func size(of type: UInt32) -> Int? {
            switch type {
            case 0, 1, 7: 1
            case 2, 3: 2
            case 4, 5, 6: 4
            case 10, 11, 12: 8
            default: nil
            }
        }
    }
}
