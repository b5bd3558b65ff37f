import Foundation
import Testing

@testable import Converters
@testable import Rudolph
@testable import rudolph_quality

/// Where the project's reference data lie, found from this source file.
enum Project {
    static let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    static let checkpoints = folder.appending(path: "Tests/Golden/checkpoints")
    static let demo = folder.appending(path: "Models/demo/float")
}

/// A folder of its own, removed with the object.
final class TemporaryFolder {
    let url: URL

    init() throws {
        url = FileManager.default.temporaryDirectory.appending(path: "converters-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(at: url) }

    func path(_ name: String) -> String { url.appending(path: name).path }

    func write(_ name: String, _ bytes: some Sequence<UInt8>) throws -> String {
        try Data(bytes).write(to: url.appending(path: name))
        return path(name)
    }

    func write(_ name: String, _ text: String) throws -> String { try write(name, text.utf8) }

    var contents: [String] { (try? FileManager.default.contentsOfDirectory(atPath: url.path).sorted()) ?? [] }
}

/// What `work` says when it fails with a `ConversionError`; nil when it does not fail.
func failure(_ work: () throws -> Void) -> String? {
    do {
        try work()
        return nil
    } catch let error as ConversionError {
        return error.description
    } catch {
        return "another error: \(error)"
    }
}

/// The same numbers at every run.
struct Generator: RandomNumberGenerator {
    private var numbers: SplitMix64

    init(state: UInt64) { numbers = SplitMix64(state: state) }

    mutating func next() -> UInt64 { numbers.next() }

    /// Roughly normal: the sum of twelve uniform numbers.
    mutating func normal() -> Float {
        var sum: Float = -6
        for _ in 0..<12 { sum += Float.random(in: 0..<1, using: &self) }
        return sum
    }

    mutating func normals(_ count: Int, deviation: Float = 1) -> [Float] { (0..<count).map { _ in normal() * deviation } }
}

extension TensorView {
    /// The elements in row-major order.
    func floats() -> [Float] {
        let count = shape.reduce(1, *)
        return [Float](unsafeUninitializedCapacity: count) { buffer, initialized in
            if count > 0, let base = buffer.baseAddress { copy(rows: 0..<rows, to: base) }
            initialized = count
        }
    }
}

extension Distortion {
    /// Compares two arrays of the same length.
    init(of original: [Float], _ coded: [Float]) {
        self = original.withUnsafeBufferPointer { original in
            coded.withUnsafeBufferPointer { coded in
                guard let one = original.baseAddress, let other = coded.baseAddress else { return Distortion() }
                return Distortion(of: one, other, count: min(original.count, coded.count))
            }
        }
    }
}

// MARK: Files that torch.save could have written, and others

/// Writes pickles opcode by opcode, hostile ones too.
struct PickleWriter {
    var bytes: [UInt8] = [0x80, 2]

    static func little<T: FixedWidthInteger>(_ value: T) -> [UInt8] { withUnsafeBytes(of: value.littleEndian) { Array($0) } }

    mutating func op(_ opcode: Character) { bytes.append(opcode.asciiValue ?? 0) }

    mutating func string(_ text: String) { bytes += [UInt8(ascii: "X")] + Self.little(UInt32(text.utf8.count)) + Array(text.utf8) }

    mutating func integer(_ value: Int) {
        if let value = Int32(exactly: value) {
            bytes += [UInt8(ascii: "J")] + Self.little(value)
        } else {
            bytes += [0x8A, 8] + Self.little(Int64(value))
        }
    }

    mutating func global(_ module: String, _ name: String) { bytes += Array("c\(module)\n\(name)\n".utf8) }

    mutating func integers(_ values: [Int]) {
        op("(")
        for value in values { integer(value) }
        op("t")
    }

    /// A storage called `key` of `count` elements, or a view of it.
    mutating func storage(key: String, count: Int, type: String = "FloatStorage", view: (start: Int, count: Int)? = nil) {
        op("(")
        string("storage")
        global("torch", type)
        string(key)
        string("cpu")
        integer(count)
        if let view {
            op("(")
            string("view")
            integer(view.start)
            integer(view.count)
            op("t")
        }
        op("t")
        op("Q")
    }

    /// A tensor over such a storage.
    mutating func tensor(
        key: String, count: Int, shape: [Int], strides: [Int]? = nil, offset: Int = 0, storage type: String = "FloatStorage",
        view: (start: Int, count: Int)? = nil
    ) {
        global("torch._utils", "_rebuild_tensor_v2")
        op("(")
        storage(key: key, count: count, type: type, view: view)
        integer(offset)
        integers(shape)
        integers(strides ?? shape.indices.map { shape[($0 + 1)...].reduce(1) { $0.multipliedReportingOverflow(by: $1).partialValue } })
        bytes.append(0x89)
        global("collections", "OrderedDict")
        op(")")
        op("R")
        op("t")
        op("R")
    }

    /// The pickle with its STOP.
    func finished() -> [UInt8] { bytes + [UInt8(ascii: ".")] }
}

/// Writes zip archives of stored entries.
struct ZipWriter {
    private var bytes: [UInt8] = []
    private var directory: [UInt8] = []
    private var count: UInt16 = 0

    mutating func add(_ name: String, _ content: [UInt8], method: UInt16 = 0, zip64: Bool = false) {
        func little<T: FixedWidthInteger>(_ value: T) -> [UInt8] { PickleWriter.little(value) }
        let offset = bytes.count
        let common = little(UInt16(0)) + little(method) + little(UInt32(0)) + little(UInt32(0))
        let size = little(UInt32(content.count)), open = little(UInt32.max)
        let name = Array(name.utf8)
        bytes += little(UInt32(0x0403_4B50)) + little(UInt16(20)) + common + size + size + little(UInt16(name.count)) + little(UInt16(0))
        bytes += name + content
        let extra = little(UInt16(1)) + little(UInt16(24)) + little(UInt64(content.count)) + little(UInt64(content.count)) + little(UInt64(offset))
        directory += little(UInt32(0x0201_4B50)) + little(UInt32(20)) + common + (zip64 ? open + open : size + size)
        directory += little(UInt16(name.count)) + little(UInt16(zip64 ? extra.count : 0)) + [UInt8](repeating: 0, count: 10)
        directory += (zip64 ? open : little(UInt32(offset))) + name + (zip64 ? extra : [])
        count += 1
    }

    /// The archive; with `zip64`, its directory is found through the zip64 records only.
    func finished(zip64: Bool = false) -> [UInt8] {
        func little<T: FixedWidthInteger>(_ value: T) -> [UInt8] { PickleWriter.little(value) }
        var end: [UInt8] = []
        if zip64 {
            end += little(UInt32(0x0606_4B50)) + little(UInt64(44)) + little(UInt32(0)) + little(UInt64(0)) + little(UInt64(count))
            end += little(UInt64(count)) + little(UInt64(directory.count)) + little(UInt64(bytes.count))
            end += little(UInt32(0x0706_4B50)) + little(UInt32(0)) + little(UInt64(bytes.count + directory.count)) + little(UInt32(1))
        }
        let shown = zip64 ? UInt16.max : count
        end += little(UInt32(0x0605_4B50)) + little(UInt32(0)) + little(shown) + little(shown) + little(UInt32(directory.count))
        end += little(zip64 ? UInt32.max : UInt32(bytes.count)) + little(UInt16(0))
        return bytes + directory + end
    }
}

/// A file of torch.save before it wrote zip archives: pickles, among them that of the tensors, and the storages that they name.
func legacy(_ pickle: [UInt8], storages: [(key: String, values: [Float])], isLittleEndian: Bool = true) -> [UInt8] {
    var magic = PickleWriter(), version = PickleWriter(), system = PickleWriter(), keys = PickleWriter()
    magic.bytes += [0x8A, 10, 0x6C, 0xFC, 0x9C, 0x46, 0xF9, 0x20, 0x6A, 0xA8, 0x50, 0x19]
    version.integer(1001)
    system.op("}")
    system.string("little_endian")
    system.bytes.append(isLittleEndian ? 0x88 : 0x89)
    system.op("s")
    keys.op("]")
    for storage in storages {
        keys.string(storage.key)
        keys.op("a")
    }
    let contents = storages.flatMap { PickleWriter.little(UInt64($0.values.count)) + $0.values.withUnsafeBytes(Array.init) }
    return magic.finished() + version.finished() + system.finished() + pickle + keys.finished() + contents
}

/// A safetensors file with `header` and as many zero bytes of data.
func safetensors(_ header: String, data: Int) -> [UInt8] {
    PickleWriter.little(UInt64(header.utf8.count)) + Array(header.utf8) + [UInt8](repeating: 0, count: data)
}

/// A state dict in the making: float32 tensors and bool masks, to be saved in torch.save's zip format.
struct StateDictionary {
    enum Content {
        case floats([Float])
        case mask([Bool])
        /// One number for all elements, as torch expands it.
        case expanded(Float)
        /// The elements of another tensor.
        case shared(String)
    }
    var tensors: [(name: String, shape: [Int], content: Content)] = []

    subscript(name: String) -> (shape: [Int], content: Content)? {
        get { tensors.first { $0.name == name }.map { ($0.shape, $0.content) } }
        set {
            let index = tensors.firstIndex { $0.name == name }
            if let newValue {
                let tensor = (name, newValue.shape, newValue.content)
                if let index { tensors[index] = tensor } else { tensors.append(tensor) }
            } else if let index {
                tensors.remove(at: index)
            }
        }
    }

    func floats(_ name: String) -> [Float] { if case .floats(let values)? = self[name]?.content { values } else { [] } }

    func zip(prefix: String = "") -> [UInt8] {
        var pickle = PickleWriter(), archive = ZipWriter()
        pickle.op("}")
        pickle.op("(")
        for (index, tensor) in tensors.enumerated() {
            pickle.string(prefix + tensor.name)
            let count = tensor.shape.reduce(1, *)
            switch tensor.content {
            case .floats: pickle.tensor(key: "\(index)", count: count, shape: tensor.shape)
            case .mask: pickle.tensor(key: "\(index)", count: count, shape: tensor.shape, storage: "BoolStorage")
            case .expanded: pickle.tensor(key: "\(index)", count: 1, shape: tensor.shape, strides: tensor.shape.map { _ in 0 })
            case .shared(let name):
                let other = tensors.firstIndex { $0.name == name } ?? index
                pickle.tensor(key: "\(other)", count: count, shape: tensor.shape)
            }
        }
        pickle.op("u")
        archive.add("model/data.pkl", pickle.finished())
        for (index, tensor) in tensors.enumerated() {
            switch tensor.content {
            case .floats(let values): archive.add("model/data/\(index)", values.withUnsafeBytes(Array.init))
            case .mask(let values): archive.add("model/data/\(index)", values.map { $0 ? 1 : 0 })
            case .expanded(let value): archive.add("model/data/\(index)", [value].withUnsafeBytes(Array.init))
            case .shared: break
            }
        }
        return archive.finished()
    }
}
