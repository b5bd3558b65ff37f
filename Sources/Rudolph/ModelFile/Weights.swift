import CKernels
import CPlatform

/// The type of the matrices of a model file.
public enum WeightType: UInt32, Sendable {
    case f32 = 0
    case f16 = 1
    case int8 = 2
    case int4 = 3

    public var name: String {
        switch self {
        case .f32: "f32"
        case .f16: "f16"
        case .int8: "int8"
        case .int4: "int4"
        }
    }

    static func named(_ name: String) -> WeightType? {
        switch name {
        case "f32": .f32
        case "f16": .f16
        case "int8": .int8
        case "int4": .int4
        default: nil
        }
    }

    var kernelType: rk_type { rk_type(rawValue) }
    /// Whether the rows that it multiplies are quantized first.
    var quantizesInput: Bool { self == .int8 || self == .int4 }
}

/// A matrix of panels in the mapped file, with its bias.
struct Linear {
    var matrix: rk_matrix
    /// A float for each row, with room up to a multiple of 16 rows; nil for none.
    let bias: UnsafePointer<Float>?
    let type: WeightType

    var rows: Int { Int(matrix.rows) }
    var columns: Int { Int(matrix.columns) }
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

/// Finds the tensors of a file by name and checks that each has the shape that the configuration demands.
final class TensorBinder {
    private let file: GGUF
    private var packed: [String: (type: WeightType, rows: Int, columns: Int)] = [:]
    /// Biases that need padding; freed with `Model`.
    private(set) var allocations: [UnsafeMutableRawPointer] = []

    init(_ file: GGUF) throws(RudolphError) {
        self.file = file
        let names = try file.strings("rudolph.packed.names")
        let types = try file.integers("rudolph.packed.types")
        let rows = try file.integers("rudolph.packed.rows")
        let columns = try file.integers("rudolph.packed.columns")
        guard names.count == types.count, names.count == rows.count, names.count == columns.count else {
            throw RudolphError(
                "\(path): the lists of packed tensors differ in length: \(names.count) names, \(types.count) types, \(rows.count) rows, \(columns.count) columns"
            )
        }
        packed.reserveCapacity(names.count)
        for index in names.indices {
            guard let type = WeightType(rawValue: types[index]) else {
                throw RudolphError("\(path): packed tensor \(names[index]) has type \(types[index]), expected 0 to 3")
            }
            guard packed.updateValue((type, Int(rows[index]), Int(columns[index])), forKey: names[index]) == nil else {
                throw RudolphError("\(path): the packed tensor \(names[index]) occurs twice")
            }
        }
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
        guard let base = file.file.bytes.baseAddress else { throw RudolphError("\(path): is empty") }
        return base + tensor.range.lowerBound
    }

    /// A tensor of `count` floats.
    func floats(_ name: String, count: Int) throws(RudolphError) -> UnsafePointer<Float> {
        let tensor = try file.tensor(named: name)
        guard tensor.type == .f32, tensor.range.count == 4 * count else {
            throw RudolphError("\(path): tensor \(name) has \(tensor.range.count) bytes, expected \(count) floats")
        }
        return try pointer(tensor).assumingMemoryBound(to: Float.self)
    }

    /// A bias of `count` floats that may be read up to the next multiple of 16.
    private func bias(_ name: String, count: Int) throws(RudolphError) -> UnsafePointer<Float> {
        let values = try floats(name, count: count)
        let padded = (count + 15) / 16 * 16
        if padded == count { return values }
        guard let copy = rp_allocate(UInt64(4 * padded)) else { throw RudolphError("out of memory: \(4 * padded) bytes") }
        allocations.append(copy)
        let floats = copy.assumingMemoryBound(to: Float.self)
        floats.update(from: values, count: count)
        return UnsafePointer(floats)
    }

    func linear(_ name: String, rows: Int, columns: Int) throws(RudolphError) -> Linear {
        let weightName = name + ".weight"
        let tensor = try file.tensor(named: weightName)
        guard let shape = packed[weightName] else {
            throw RudolphError("\(path): tensor \(weightName) is not listed in rudolph.packed.names")
        }
        guard shape.rows == rows, shape.columns == columns else {
            throw RudolphError(
                "\(path): tensor \(weightName) has shape [\(shape.rows), \(shape.columns)], expected [\(rows), \(columns)]")
        }
        let panelBytes = rk_panel_bytes(shape.type.kernelType, Int32(columns))
        let (bytes, overflow) = Int(clamping: panelBytes).multipliedReportingOverflow(by: (rows + 15) / 16)
        guard tensor.type == .i8, !overflow, tensor.range.count == bytes else {
            throw RudolphError(
                "\(path): tensor \(weightName) has \(tensor.range.count) bytes, expected \(bytes) for \(rows) x \(columns) \(shape.type.name)")
        }
        let matrix = rk_matrix(
            data: try pointer(tensor), type: shape.type.kernelType, rows: Int32(rows), columns: Int32(columns))
        return Linear(matrix: matrix, bias: try bias(name + ".bias", count: rows), type: shape.type)
    }

    /// A tensor of halves with these dimensions, the fastest first.
    func halves(_ name: String, dimensions: [Int]) throws(RudolphError) -> UnsafePointer<rk_f16> {
        let tensor = try file.tensor(named: name)
        guard tensor.type == .f16, tensor.dimensions == dimensions else {
            throw RudolphError(
                "\(path): tensor \(name) has dimensions \(tensor.dimensions), expected \(dimensions) of type F16")
        }
        return try pointer(tensor).assumingMemoryBound(to: rk_f16.self)
    }

    func layerNorm(_ name: String, size: Int) throws(RudolphError) -> rk_layer_norm {
        rk_layer_norm(
            weight: try floats(name + ".weight", count: size), bias: try floats(name + ".bias", count: size))
    }

    func table(_ name: String, rows: Int, columns: Int) throws(RudolphError) -> EmbeddingTable {
        let tensor = try file.tensor(named: name + ".weight")
        guard tensor.type != .i8, tensor.dimensions == [columns, rows] else {
            throw RudolphError(
                "\(path): tensor \(tensor.name) has dimensions \(tensor.dimensions), expected [\(columns), \(rows)]")
        }
        return EmbeddingTable(data: try pointer(tensor), type: tensor.type, rows: rows, columns: columns)
    }
}
