import CKernels
import CPlatform

/// How the elements of a packed matrix are stored; the raw value is the one in the file and in `rk_type`.
public enum WeightType: UInt32, CaseIterable, Sendable {
    case f32 = 0
    case f16 = 1
    case int8 = 2
    case int4 = 3

    /// The name in the file and on command lines.
    public var name: String {
        switch self {
        case .f32: "f32"
        case .f16: "f16"
        case .int8: "int8"
        case .int4: "int4"
        }
    }

    /// The type of that name; nil for any other text.
    public init?(name: String) {
        guard let type = Self.allCases.first(where: { $0.name == name }) else { return nil }
        self = type
    }

    package var kernelType: rk_type { rk_type(rawValue) }
    /// Whether elements are integers with scales; the rows that they multiply are then quantized first.
    package var isInteger: Bool { self == .int8 || self == .int4 }
}

/// A matrix of panels in the mapped file, with its bias.
struct Linear {
    var matrix: rk_matrix
    /// A float for each row, with room up to a multiple of 16 rows; nil for none.
    let bias: UnsafePointer<Float>?
    let type: WeightType

    var rows: Int { Int(matrix.rows) }
    var columns: Int { Int(matrix.columns) }
    var withoutBias: Linear { Linear(matrix: matrix, bias: nil, type: type) }
}

/// A table of rows that are looked up by id: token embeddings, codes.
struct EmbeddingTable {
    let data: UnsafeRawPointer
    let type: GGUF.TensorType
    let rows, columns: Int

    /// Writes row `id` to `output`, which has room for `columns` floats. `id` must be in 0 ..< rows.
    func copyRow(_ id: Int, to output: UnsafeMutablePointer<Float>) {
        switch type {
        case .f32:
            output.update(from: data.assumingMemoryBound(to: Float.self) + id * columns, count: columns)
        case .f16:
            let row = data.assumingMemoryBound(to: rk_f16.self) + id * columns
            for k in 0..<columns { output[k] = rk_f16_to_f32(row[k]) }
        case .q8_0:
            let blocks = columns / 32
            var block = data + id * blocks * 34
            for b in 0..<blocks {
                let scale = rk_f16_to_f32(block.loadUnaligned(as: rk_f16.self))
                let values = (block + 2).assumingMemoryBound(to: Int8.self)
                for k in 0..<32 { output[b * 32 + k] = Float(values[k]) * scale }
                block += 34
            }
        case .i8:
            // Refused when the table was bound.
            output.update(repeating: 0, count: columns)
        }
    }
}

/// Memory that lives as long as this object.
final class Allocations {
    private var blocks: [UnsafeMutableRawPointer] = []

    deinit {
        for block in blocks { rp_free(block) }
    }

    func bytes(_ count: Int) throws(RudolphError) -> UnsafeMutableRawPointer {
        guard let block = rp_allocate(UInt64(count)) else { throw .outOfMemory("out of memory: \(count) bytes") }
        blocks.append(block)
        return block
    }
}

/// What a packed tensor holds.
package struct PackedShape {
    package let type: WeightType
    package let rows, columns: Int
}

extension GGUF {
    /// The packed tensors that the metadata list, by name. Those that are in the file are as large as their shapes say.
    package func packedShapes() throws(RudolphError) -> [String: PackedShape] {
        typealias Key = FileSchema.Key
        let path = file.path
        let names = try strings(Key.packedNames)
        let types = try integers(Key.packedTypes)
        let rows = try integers(Key.packedRows)
        let columns = try integers(Key.packedColumns)
        guard names.count == types.count, names.count == rows.count, names.count == columns.count else {
            throw .invalidFile(
                "\(path): the lists of packed tensors differ in length: \(names.count) names, \(types.count) types, \(rows.count) rows, "
                    + "\(columns.count) columns")
        }
        var packed: [String: PackedShape] = [:]
        packed.reserveCapacity(names.count)
        for index in names.indices {
            guard let type = WeightType(rawValue: types[index]) else {
                throw .invalidFile("\(path): packed tensor \(names[index]) has type \(types[index]), expected 0 to 3")
            }
            let name = names[index]
            guard let rowCount = Int32(exactly: rows[index]), let columnCount = Int32(exactly: columns[index]), rowCount > 0, columnCount > 0 else {
                throw .invalidFile(
                    "\(path): packed tensor \(name) has \(rows[index]) rows and \(columns[index]) columns, expected 1 to \(Int32.max)")
            }
            let shape = PackedShape(type: type, rows: Int(rowCount), columns: Int(columnCount))
            if let place = tensorIndices[name] {
                let tensor = tensors[place]
                let (bytes, overflow) = Int(clamping: rk_panel_bytes(type.kernelType, columnCount)).multipliedReportingOverflow(
                    by: paddedToPanel(shape.rows) / Int(RK_PANEL))
                guard tensor.type == .i8, !overflow, tensor.range.count == bytes else {
                    throw .invalidFile(
                        "\(path): tensor \(name) has \(tensor.range.count) bytes of type \(tensor.type.rawValue), expected \(bytes) of type 24 (i8) "
                            + "for \(shape.rows) x \(shape.columns) \(type.name)")
                }
            }
            guard packed.updateValue(shape, forKey: name) == nil else {
                throw .invalidFile("\(path): the packed tensor \(name) occurs twice")
            }
        }
        return packed
    }
}

/// Finds the tensors of a file by name and checks that each has the shape that the configuration demands.
final class TensorBinder {
    let file: GGUF
    private let packed: [String: PackedShape]
    /// Biases that need padding.
    let allocations = Allocations()

    init(_ file: GGUF) throws(RudolphError) {
        self.file = file
        packed = try file.packedShapes()
    }

    var path: String { file.file.path }

    /// The number of weights of each packed tensor.
    var packedWeights: [String: Int] {
        var weights: [String: Int] = [:]
        // Both factors are at most 32 bits.
        for (name, shape) in packed { weights[name] = shape.rows &* shape.columns }
        return weights
    }

    /// Where a tensor lies in the file.
    func range(of name: String) throws(RudolphError) -> Range<Int> {
        try file.tensor(named: name).range
    }

    private func pointer(_ tensor: GGUF.Tensor) throws(RudolphError) -> UnsafeRawPointer {
        guard let base = file.file.bytes.baseAddress else { throw .invalidFile("\(path): is empty") }
        return base + tensor.range.lowerBound
    }

    /// A tensor of `count` floats.
    func floats(_ name: String, count: Int) throws(RudolphError) -> UnsafePointer<Float> {
        let tensor = try file.tensor(named: name)
        guard tensor.type == .f32, tensor.range.count == 4 * count else {
            throw .invalidFile(
                "\(path): tensor \(name) has \(tensor.range.count) bytes of type \(tensor.type.rawValue), expected \(4 * count) of type 0 (f32)")
        }
        return try pointer(tensor).assumingMemoryBound(to: Float.self)
    }

    /// A bias of `count` floats that may be read up to the next multiple of 16.
    private func bias(_ name: String, count: Int) throws(RudolphError) -> UnsafePointer<Float> {
        let values = try floats(name, count: count)
        let padded = paddedToPanel(count)
        if padded == count { return values }
        let copy = try allocations.bytes(4 * padded)
        let floats = copy.assumingMemoryBound(to: Float.self)
        floats.update(from: values, count: count)
        return UnsafePointer(floats)
    }

    func linear(_ name: String, rows: Int, columns: Int) throws(RudolphError) -> Linear {
        let weightName = name + ".weight"
        let tensor = try file.tensor(named: weightName)
        guard let shape = packed[weightName] else {
            throw .invalidFile("\(path): tensor \(weightName) is not listed in \(FileSchema.Key.packedNames)")
        }
        guard shape.rows == rows, shape.columns == columns else {
            throw .invalidFile(
                "\(path): tensor \(weightName) has shape [\(shape.rows), \(shape.columns)], expected [\(rows), \(columns)]")
        }
        let most = shape.type == .int8 ? Int(RK_INT8_COLUMNS) : shape.type == .int4 ? Int(RK_INT4_COLUMNS) : Int.max
        guard columns <= most else {
            throw .invalidFile("\(path): tensor \(weightName) has \(columns) columns, expected at most \(most), as many as products take")
        }
        let matrix = rk_matrix(
            data: try pointer(tensor), type: shape.type.kernelType, rows: Int32(rows), columns: Int32(columns))
        return Linear(matrix: matrix, bias: try bias(name + ".bias", count: rows), type: shape.type)
    }

    /// A plain tensor of this type with these dimensions, the fastest first.
    func data(_ name: String, _ type: GGUF.TensorType, dimensions: [Int]) throws(RudolphError) -> UnsafeRawPointer {
        let tensor = try file.tensor(named: name)
        guard tensor.type == type, tensor.dimensions == dimensions else {
            throw .invalidFile(
                "\(path): tensor \(name) has dimensions \(tensor.dimensions) of type \(tensor.type.rawValue), "
                    + "expected \(dimensions) of type \(type.rawValue)")
        }
        return try pointer(tensor)
    }

    func layerNorm(_ name: String, size: Int) throws(RudolphError) -> rk_layer_norm {
        rk_layer_norm(weight: try floats(name + ".weight", count: size), bias: try floats(name + ".bias", count: size), epsilon: 1e-5)
    }

    func table(_ name: String, rows: Int, columns: Int) throws(RudolphError) -> EmbeddingTable {
        let tensor = try file.tensor(named: name + ".weight")
        guard tensor.type != .i8, tensor.dimensions == [columns, rows] else {
            throw .invalidFile(
                "\(path): tensor \(tensor.name) has dimensions \(tensor.dimensions) of type \(tensor.type.rawValue), "
                    + "expected [\(columns), \(rows)] of type 0 (f32), 1 (f16) or 8 (q8_0)")
        }
        return EmbeddingTable(data: try pointer(tensor), type: tensor.type, rows: rows, columns: columns)
    }
}
