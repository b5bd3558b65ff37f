/// Reads a Python pickle as data: opcodes build values in this object's own tables and nothing is ever called. A global is a name that
/// must be on the list below; any other is refused by name.
///
/// Containers refer to one another by index into the tables, so neither cycles nor deep nesting in a hostile file can hurt.
struct Pickle {
    enum Value {
        case none
        case bool(Bool)
        case integer(Int)
        /// An integer of more than 64 bits.
        case longInteger
        case double(Double)
        case string(String)
        case bytes
        case tuple(Int)
        case list(Int)
        case dictionary(Int)
        case global(Global)
        case storage(Int)
        case tensor(Int)
        /// A storage or tensor of a type, by its name, that is not read.
        case unread(String)
        /// An object of an allowed class that has nothing to do with tensors.
        case opaque
    }

    enum Global {
        case rebuildTensor
        case rebuildTensorWithType
        case rebuildParameter
        case rebuildFromType
        case size
        case orderedDictionary
        /// A storage class; nil for untyped storages, whose tensors carry a type themselves.
        case storage(ElementType?)
        case elementType(ElementType)
        /// A storage or element type that no tensor here can have.
        case unsupportedType(String)
        /// A class that trainers leave in checkpoints: its objects are skipped.
        case opaque
    }

    struct Storage {
        let type: ElementType?
        let key: String
        /// In elements of `type`, in bytes when it is nil; of the view where it is one.
        let count: Int
        /// Where the storage begins inside the one called `key`, in elements: legacy files share storages this way.
        let start: Int
    }

    struct Tensor {
        let storage: Int
        let type: ElementType
        let offset: Int
        let shape: [Int]
        let strides: [Int]
    }

    /// In bytes: the name of a tensor, a storage or a global. Longer ones, named again and again, would cost more memory and time than the file is
    /// large.
    static let longestName = 512
    /// Tensors, and storages, of a file.
    static let mostTensors = 1 << 16

    /// Far more than names and shapes of a checkpoint take (about 65 kB of 2.7B), and little enough to be kept in memory: a byte of a hostile pickle
    /// may make a list, a tuple or something to remember.
    private enum Limit {
        static let bytes = 8 << 20, bytesOfText = 1 << 20
        /// Each of: values on the stack with its marks, values to remember, containers, values in them.
        static let values = 1 << 20
    }

    private(set) var tuples: [[Value]] = []
    private(set) var lists: [[Value]] = []
    private(set) var dictionaries: [[(key: Value, value: Value)]] = []
    private(set) var storages: [Storage] = []
    private(set) var tensors: [Tensor] = []
    /// Values in tuples, lists and dictionaries.
    private var contained = 0

    private var stack: [Value] = []
    private var marks: [Int] = []
    private var memo: [UInt32: Value] = [:]

    /// Reads one pickle from `reader`, which stands behind its STOP afterwards, and returns its value. The tables of earlier pickles
    /// stay valid.
    mutating func read(_ reader: inout ByteReader) throws(ConversionError) -> Value {
        stack = []
        marks = []
        memo = [:]
        let start = reader.position
        while true {
            guard reader.position - start <= Limit.bytes else { throw reader.failure("a pickle of more than \(Limit.bytes >> 20) MiB") }
            let opcode = try reader.integer(UInt8.self)
            if opcode == UInt8(ascii: ".") { return try pop(reader) }
            try execute(opcode, &reader)
            try checkSizes(reader)
        }
    }

    /// An opcode takes what it adds from the stack or from its own bytes, so it is soon enough to look after each.
    private func checkSizes(_ reader: ByteReader) throws(ConversionError) {
        func check(_ count: Int, _ most: Int, _ what: String) throws(ConversionError) {
            guard count <= most else { throw reader.failure("a pickle with \(count) \(what), expected at most \(most)") }
        }
        try check(stack.count + marks.count, Limit.values, "values and marks on its stack")
        try check(memo.count, Limit.values, "values to remember")
        try check(tuples.count + lists.count + dictionaries.count, Limit.values, "tuples, lists and dictionaries")
        try check(contained, Limit.values, "values in tuples, lists and dictionaries")
        try check(storages.count, Self.mostTensors, "storages")
        try check(tensors.count, Self.mostTensors, "tensors")
    }

    // MARK: Opcodes

    private mutating func execute(_ opcode: UInt8, _ reader: inout ByteReader) throws(ConversionError) {
        switch opcode {
        case 0x80:  // PROTO
            let version = try reader.integer(UInt8.self)
            guard (2...5).contains(version) else { throw reader.failure("pickle protocol \(version); 2 to 5 are read") }
        case 0x95: _ = try reader.take(8)  // FRAME
        case UInt8(ascii: "("): marks.append(stack.count)
        case UInt8(ascii: "0"):
            if let mark = marks.last, mark == stack.count { marks.removeLast() } else { _ = try pop(reader) }
        case UInt8(ascii: "1"): _ = try popMark(reader)
        case UInt8(ascii: "2"): stack.append(try top(reader))
        case UInt8(ascii: "q"): memo[UInt32(try reader.integer(UInt8.self))] = try top(reader)
        case UInt8(ascii: "r"): memo[try reader.integer(UInt32.self)] = try top(reader)
        case 0x94: memo[UInt32(memo.count)] = try top(reader)
        case UInt8(ascii: "h"): try recall(UInt32(try reader.integer(UInt8.self)), reader)
        case UInt8(ascii: "j"): try recall(try reader.integer(UInt32.self), reader)
        default: try executeConstant(opcode, &reader)
        }
    }

    private mutating func executeConstant(_ opcode: UInt8, _ reader: inout ByteReader) throws(ConversionError) {
        switch opcode {
        case UInt8(ascii: "N"): stack.append(.none)
        case 0x88: stack.append(.bool(true))
        case 0x89: stack.append(.bool(false))
        case UInt8(ascii: "J"): stack.append(.integer(Int(try reader.integer(Int32.self))))
        case UInt8(ascii: "K"): stack.append(.integer(Int(try reader.integer(UInt8.self))))
        case UInt8(ascii: "M"): stack.append(.integer(Int(try reader.integer(UInt16.self))))
        case 0x8A: stack.append(integer(try reader.take(try reader.integer(UInt8.self))))
        case 0x8B: stack.append(integer(try reader.take(try reader.integer(Int32.self))))
        case UInt8(ascii: "G"): stack.append(.double(Double(bitPattern: UInt64(bigEndian: try reader.take(8).loadUnaligned(as: UInt64.self)))))
        case UInt8(ascii: "U"), 0x8C: try pushText(try reader.integer(UInt8.self), &reader)
        case UInt8(ascii: "X"): try pushText(try reader.integer(UInt32.self), &reader)
        case UInt8(ascii: "T"): try pushText(try reader.integer(Int32.self), &reader)
        case 0x8D: try pushText(try reader.integer(UInt64.self), &reader)
        case UInt8(ascii: "C"): try skipBytes(try reader.integer(UInt8.self), &reader)
        case UInt8(ascii: "B"): try skipBytes(try reader.integer(UInt32.self), &reader)
        case 0x8E, 0x96: try skipBytes(try reader.integer(UInt64.self), &reader)
        default: if try !executeContainer(opcode, reader) { try executeObject(opcode, &reader) }
        }
    }

    /// Whether it was such an opcode.
    private mutating func executeContainer(_ opcode: UInt8, _ reader: ByteReader) throws(ConversionError) -> Bool {
        switch opcode {
        case UInt8(ascii: ")"): push(tuple: [])
        case 0x85: push(tuple: [try pop(reader)])
        case 0x86:
            let second = try pop(reader)
            push(tuple: [try pop(reader), second])
        case 0x87:
            let third = try pop(reader), second = try pop(reader)
            push(tuple: [try pop(reader), second, third])
        case UInt8(ascii: "t"): push(tuple: try popMark(reader))
        case UInt8(ascii: "]"): push(list: [])
        case UInt8(ascii: "l"): push(list: try popMark(reader))
        case UInt8(ascii: "a"): try append([try pop(reader)], reader)
        case UInt8(ascii: "e"): try append(try popMark(reader), reader)
        case UInt8(ascii: "}"): pushDictionary()
        case UInt8(ascii: "d"):
            let items = try popMark(reader)
            pushDictionary()
            try set(items, reader)
        case UInt8(ascii: "s"):
            let value = try pop(reader)
            try set([try pop(reader), value], reader)
        case UInt8(ascii: "u"): try set(try popMark(reader), reader)
        case 0x8F: stack.append(.opaque)  // EMPTY_SET
        case 0x90: _ = try popMark(reader)  // ADDITEMS, to a set
        case 0x91:  // FROZENSET
            _ = try popMark(reader)
            stack.append(.opaque)
        default: return false
        }
        return true
    }

    private mutating func executeObject(_ opcode: UInt8, _ reader: inout ByteReader) throws(ConversionError) {
        switch opcode {
        case UInt8(ascii: "c"):
            let module = try reader.line(atMost: Self.longestName)
            stack.append(.global(try global(module, try reader.line(atMost: Self.longestName), reader)))
        case 0x93:
            guard case .string(let name) = try pop(reader), case .string(let module) = try pop(reader) else {
                throw reader.failure("a global whose name is no string")
            }
            stack.append(.global(try global(module, name, reader)))
        case UInt8(ascii: "Q"): stack.append(try persistent(try pop(reader), reader))
        case UInt8(ascii: "R"), 0x81:
            let arguments = try pop(reader)
            stack.append(try reduce(try pop(reader), try tuple(arguments, reader), reader))
        case 0x92:  // NEWOBJ_EX
            _ = try pop(reader)
            let arguments = try pop(reader)
            stack.append(try reduce(try pop(reader), try tuple(arguments, reader), reader))
        case UInt8(ascii: "b"): _ = try pop(reader)  // BUILD: attributes of the object below, none of which we need
        default:
            throw reader.failure("pickle opcode 0x\(String(opcode, radix: 16)) is not one that tensors need")
        }
    }

    // MARK: Stack and tables

    private func top(_ reader: ByteReader) throws(ConversionError) -> Value {
        guard stack.count > marks.last ?? 0, let value = stack.last else { throw reader.failure("pickle takes from an empty stack") }
        return value
    }

    private mutating func pop(_ reader: ByteReader) throws(ConversionError) -> Value {
        let value = try top(reader)
        stack.removeLast()
        return value
    }

    private mutating func popMark(_ reader: ByteReader) throws(ConversionError) -> [Value] {
        guard let mark = marks.popLast() else { throw reader.failure("pickle looks for a mark that is not there") }
        defer { stack.removeLast(stack.count - mark) }
        return Array(stack[mark...])
    }

    private mutating func push(tuple items: [Value]) {
        tuples.append(items)
        contained += items.count
        stack.append(.tuple(tuples.count - 1))
    }

    private mutating func push(list items: [Value]) {
        lists.append(items)
        contained += items.count
        stack.append(.list(lists.count - 1))
    }

    private mutating func pushDictionary() {
        dictionaries.append([])
        stack.append(.dictionary(dictionaries.count - 1))
    }

    private mutating func append(_ items: [Value], _ reader: ByteReader) throws(ConversionError) {
        switch try top(reader) {
        case .list(let index):
            lists[index] += items
            contained += items.count
        case .opaque: break
        default: throw reader.failure("pickle appends to something that is no list")
        }
    }

    private mutating func set(_ items: [Value], _ reader: ByteReader) throws(ConversionError) {
        guard items.count.isMultiple(of: 2) else { throw reader.failure("pickle sets a key without a value") }
        switch try top(reader) {
        case .dictionary(let index):
            for item in stride(from: 0, to: items.count, by: 2) { dictionaries[index].append((items[item], items[item + 1])) }
            contained += items.count
        case .opaque: break
        default: throw reader.failure("pickle sets items of something that is no dictionary")
        }
    }

    private mutating func recall(_ key: UInt32, _ reader: ByteReader) throws(ConversionError) {
        guard let value = memo[key] else { throw reader.failure("pickle recalls \(key), which it never stored") }
        stack.append(value)
    }

    private mutating func pushText(_ count: some BinaryInteger, _ reader: inout ByteReader) throws(ConversionError) {
        stack.append(.string(try reader.string(count, atMost: Limit.bytesOfText)))
    }

    private mutating func skipBytes(_ count: some BinaryInteger, _ reader: inout ByteReader) throws(ConversionError) {
        _ = try reader.take(count)
        stack.append(.bytes)
    }

    private func integer(_ bytes: UnsafeRawBufferPointer) -> Value {
        guard bytes.count <= 8 else { return .longInteger }
        var value: UInt64 = (bytes.last ?? 0) & 0x80 == 0 ? 0 : .max
        for byte in bytes.reversed() { value = value << 8 | UInt64(byte) }
        return .integer(Int(truncatingIfNeeded: value))
    }

    // MARK: Reading values

    func tuple(_ value: Value, _ reader: ByteReader) throws(ConversionError) -> [Value] {
        guard case .tuple(let index) = value else { throw reader.failure("pickle holds something else where a tuple is expected") }
        return tuples[index]
    }

    private func integers(_ value: Value, _ reader: ByteReader) throws(ConversionError) -> [Int] {
        let items = try tuple(value, reader)
        guard items.count <= TensorView.mostDimensions else { throw reader.failure("a tensor of \(items.count) dimensions") }
        var result: [Int] = []
        for item in items {
            guard case .integer(let number) = item else { throw reader.failure("a tensor shape with something that is no integer") }
            result.append(number)
        }
        return result
    }

    // MARK: The few globals that tensors need

    private static let elementTypes: [String: ElementType] = [
        "Half": .float16, "BFloat16": .bfloat16, "Float": .float32, "Double": .float64, "Byte": .uint8, "Char": .int8,
        "Short": .int16, "Int": .int32, "Long": .int64, "Bool": .bool,
        "float16": .float16, "half": .float16, "bfloat16": .bfloat16, "float32": .float32, "float": .float32, "float64": .float64,
        "double": .float64, "uint8": .uint8, "int8": .int8, "int16": .int16, "int32": .int32, "int64": .int64, "long": .int64,
        "bool": .bool,
    ]

    /// Storage and element types of torch that this reader has no use for; they may stand in a file's other parts.
    private static let unsupportedTypes: Set<String> = [
        "ComplexFloatStorage", "ComplexDoubleStorage", "QInt8Storage", "QUInt8Storage", "QInt32Storage", "complex64", "complex128",
        "uint16", "uint32", "uint64", "float8_e4m3fn", "float8_e5m2",
    ]

    private static let opaqueGlobals: Set<String> = [
        "torch.device", "torch.Tensor", "torch.nn.parameter.Parameter", "torch.nn.parameter.Buffer", "torch.strided",
        "torch.serialization._get_layout", "collections.defaultdict", "collections.Counter", "builtins.set", "builtins.dict",
        "builtins.list", "builtins.int", "builtins.float", "builtins.bool", "__builtin__.set", "__builtin__.dict", "__builtin__.list",
        "_codecs.encode", "argparse.Namespace", "numpy.dtype", "numpy.ndarray", "numpy.core.multiarray.scalar",
        "numpy.core.multiarray._reconstruct", "numpy._core.multiarray.scalar", "numpy._core.multiarray._reconstruct",
        "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint", "pytorch_lightning.callbacks.early_stopping.EarlyStopping",
        "pytorch_lightning.utilities.parsing.AttributeDict",
    ]

    private func global(_ module: String, _ name: String, _ reader: ByteReader) throws(ConversionError) -> Global {
        let path = "\(module).\(name)"
        switch path {
        case "torch._utils._rebuild_tensor_v2": return .rebuildTensor
        case "torch._utils._rebuild_tensor_v3": return .rebuildTensorWithType
        case "torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state": return .rebuildParameter
        case "torch._tensor._rebuild_from_type_v2": return .rebuildFromType
        case "torch.Size": return .size
        case "collections.OrderedDict": return .orderedDictionary
        case "torch.storage.UntypedStorage", "torch.UntypedStorage": return .storage(nil)
        default: break
        }
        if module == "torch" || module == "torch.cuda" || module == "torch.storage" {
            if name.hasSuffix("Storage"), let type = Self.elementTypes[String(name.dropLast(7))] { return .storage(type) }
            if let type = Self.elementTypes[name] { return .elementType(type) }
            if Self.unsupportedTypes.contains(name) { return .unsupportedType(path) }
        }
        guard Self.opaqueGlobals.contains(path) else {
            throw .invalid(file: reader.file, reason: "pickle names the global \(path), which is not allowed")
        }
        return .opaque
    }

    /// torch's persistent ids: ('storage', class, key, device, count[, view]).
    private mutating func persistent(_ id: Value, _ reader: ByteReader) throws(ConversionError) -> Value {
        let items = try tuple(id, reader)
        guard items.count >= 5, case .string("storage") = items[0], case .string(let key) = items[2],
            case .integer(let count) = items[4], count >= 0
        else { throw reader.failure("a persistent id that is no torch storage") }
        guard key.utf8.count <= Self.longestName else {
            throw reader.failure("a storage whose name has \(key.utf8.count) bytes, expected at most \(Self.longestName)")
        }
        // `count` is that of the storage called `key`, of which a view is a part.
        var extent = (start: 0, count: count)
        if items.count > 5, case .tuple(let index) = items[5] {
            let view = tuples[index]
            guard view.count == 3, case .integer(let first) = view[1], case .integer(let size) = view[2], first >= 0, size >= 0 else {
                throw reader.failure("a storage view that is malformed")
            }
            extent = (first, size)
        }
        switch items[1] {
        case .global(.storage(let type)):
            storages.append(Storage(type: type, key: key, count: extent.count, start: extent.start))
            return .storage(storages.count - 1)
        case .global(.unsupportedType(let type)): return .unread(type)
        default: throw reader.failure("a persistent id that is no torch storage")
        }
    }

    private mutating func reduce(_ callable: Value, _ arguments: [Value], _ reader: ByteReader) throws(ConversionError) -> Value {
        guard case .global(let global) = callable else {
            if case .opaque = callable { return .opaque }
            throw reader.failure("pickle calls something that is no global")
        }
        switch global {
        case .rebuildTensor: return try tensor(arguments, type: nil, reader)
        case .rebuildTensorWithType:
            guard arguments.count >= 7 else { throw reader.failure("a tensor with too few arguments") }
            switch arguments[6] {
            case .global(.elementType(let type)): return try tensor(arguments, type: type, reader)
            case .global(.unsupportedType(let type)): return .unread(type)
            default: throw reader.failure("a tensor without an element type")
            }
        case .rebuildParameter:
            guard let data = arguments.first else { throw reader.failure("a parameter without data") }
            return data
        case .rebuildFromType:
            guard arguments.count >= 3 else { throw reader.failure("a tensor with too few arguments") }
            if case .global(.rebuildFromType) = arguments[0] { throw reader.failure("a tensor of a type of a type") }
            return try reduce(arguments[0], try tuple(arguments[2], reader), reader)
        case .size:
            guard let sizes = arguments.first else { throw reader.failure("a size without numbers") }
            return sizes
        case .orderedDictionary:
            guard arguments.isEmpty else { throw reader.failure("an ordered dictionary that is made from arguments") }
            dictionaries.append([])
            return .dictionary(dictionaries.count - 1)
        case .opaque: return .opaque
        case .storage, .elementType, .unsupportedType: throw reader.failure("pickle calls a type")
        }
    }

    private mutating func tensor(_ arguments: [Value], type: ElementType?, _ reader: ByteReader) throws(ConversionError) -> Value {
        guard arguments.count >= 4 else { throw reader.failure("a tensor with too few arguments") }
        switch arguments[0] {
        case .opaque, .unread: return arguments[0]
        default: break
        }
        guard case .storage(let storage) = arguments[0], case .integer(let offset) = arguments[1] else {
            throw reader.failure("a tensor without a storage")
        }
        guard let type = type ?? storages[storage].type else { throw reader.failure("a tensor without an element type") }
        tensors.append(
            Tensor(
                storage: storage, type: type, offset: offset, shape: try integers(arguments[2], reader),
                strides: try integers(arguments[3], reader)))
        return .tensor(tensors.count - 1)
    }
}
