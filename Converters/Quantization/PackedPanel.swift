import CKernels
import Rudolph

/// Panels of 16 rows in the layouts of `rk_matmul.h`. Rows and columns that pad a panel are zeros.
package enum PackedPanel {
    package static var rows: Int { Int(RK_PANEL) }
    /// Columns that share a scale in an int4 panel.
    static var group: Int { Int4Group.count }
    /// int8 and int4 panels hold columns in multiples of this.
    static var columnBlock: Int { Int(RK_COLUMN_BLOCK) }

    static func padded(_ columns: Int) -> Int { Int(rk_padded_columns(Int32(columns))) }

    /// Bytes of a panel.
    package static func bytes(_ type: WeightType, columns: Int) -> Int { Int(rk_panel_bytes(type.kernelType, Int32(columns))) }

    /// An int4 block of 64 columns: 2 x 16 half scales, then 8 x 64 bytes of nibbles.
    private static var int4Block: Int { bytes(.int4, columns: columnBlock) }

    /// Packs 1 to 16 rows of `columns` floats, row after row. `out` has room for bytes(_:columns:) and is aligned to 4 bytes. int8 and int4
    /// take `feedback` where it is given.
    static func pack(
        _ values: UnsafePointer<Float>, rows count: Int, columns: Int, as type: WeightType, feedback: ErrorFeedback? = nil,
        to out: UnsafeMutableRawPointer
    ) {
        out.initializeMemory(as: UInt8.self, repeating: 0, count: bytes(type, columns: columns))
        switch type {
        case .f32:
            let panel = out.assumingMemoryBound(to: Float.self)
            for row in 0..<count {
                for column in 0..<columns { panel[column * rows + row] = values[row * columns + column] }
            }
        case .f16:
            let panel = out.assumingMemoryBound(to: UInt16.self)
            for row in 0..<count {
                for column in 0..<columns { panel[column * rows + row] = HalfPrecision.fromFloat(values[row * columns + column]) }
            }
        case .int8:
            packInt8(values, rows: count, columns: columns, feedback, to: out)
        case .int4:
            packInt4(values, rows: count, columns: columns, feedback, to: out)
        }
    }

    private static func packInt8(
        _ values: UnsafePointer<Float>, rows count: Int, columns: Int, _ feedback: ErrorFeedback?, to out: UnsafeMutableRawPointer
    ) {
        let scales = out.assumingMemoryBound(to: Float.self)
        let bytes = (out + rows * 4).assumingMemoryBound(to: Int8.self)
        withUnsafeTemporaryAllocation(of: Float.self, capacity: 3 * group + padded(columns)) { scratch in
            guard let weights = scratch.baseAddress else { return }
            let steps = weights + 2 * group, errors = steps + group
            for row in 0..<count {
                let line = values + row * columns
                var largest: Float = 0
                for column in 0..<columns { largest = max(largest, abs(line[column])) }
                let scale = largest / 127
                guard scale >= .leastNormalMagnitude else { continue }
                scales[row] = scale
                func store(_ step: Int8, _ column: Int) { bytes[column / 4 * 64 + row * 4 + column % 4] = step }
                guard let feedback else {
                    for column in 0..<columns { store(Rounding.int8(line[column] / scale), column) }
                    continue
                }
                for first in stride(from: 0, to: columns, by: group) {
                    let inside = min(group, columns - first)
                    weights.update(repeating: 0, count: group)
                    weights.update(from: line + first, count: inside)
                    feedback.quantize(
                        weights, from: first, errors: errors, steps: steps, scale: { _ in scale },
                        step: { Float(Rounding.int8($0 * $1)) })
                    for index in 0..<inside { store(Int8(steps[index]), first + index) }
                }
            }
        }
    }

    private static func packInt4(
        _ values: UnsafePointer<Float>, rows count: Int, columns: Int, _ feedback: ErrorFeedback?, to out: UnsafeMutableRawPointer
    ) {
        withUnsafeTemporaryAllocation(of: Float.self, capacity: 3 * group + padded(columns)) { scratch in
            guard let weights = scratch.baseAddress else { return }
            let steps = weights + 2 * group, errors = steps + group, blockBytes = int4Block
            for row in 0..<rows {
                for first in stride(from: 0, to: padded(columns), by: group) {
                    let block = out + first / columnBlock * blockBytes, inner = first % columnBlock
                    let scales = (block + inner / group * rows * 2).assumingMemoryBound(to: UInt16.self)
                    let nibbles = (block + 64 + inner / 8 * 64).assumingMemoryBound(to: UInt8.self)
                    let inside = row < count ? max(0, min(group, columns - first)) : 0
                    weights.update(repeating: 0, count: group)
                    weights.update(from: values + row * columns + first, count: inside)
                    if let feedback, inside > 0 {
                        feedback.quantize(
                            weights, from: first, errors: errors, steps: steps,
                            scale: { group in
                                scales[row] = Int4Group.quantize(group, steps: steps)
                                return HalfPrecision.toFloat(scales[row])
                            }, step: Int4Group.step)
                    } else {
                        scales[row] = Int4Group.quantize(weights, steps: steps)
                    }
                    for index in 0..<group {
                        let nibble = UInt8(truncatingIfNeeded: Rounding.integer(steps[index]) &+ 8) & 15
                        nibbles[index / 8 * 64 + row * 4 + index % 4] |= index % 8 < 4 ? nibble : nibble &<< 4
                    }
                }
            }
        }
    }

    /// The inverse of `pack`: rows of `columns` floats.
    static func unpack(
        _ panel: UnsafeRawPointer, rows count: Int, columns: Int, as type: WeightType, to values: UnsafeMutablePointer<Float>
    ) {
        switch type {
        case .f32:
            for row in 0..<count {
                for column in 0..<columns {
                    values[row * columns + column] = panel.loadUnaligned(fromByteOffset: (column * rows + row) * 4, as: Float.self)
                }
            }
        case .f16:
            for row in 0..<count {
                for column in 0..<columns {
                    values[row * columns + column] = HalfPrecision.toFloat(
                        panel.loadUnaligned(fromByteOffset: (column * rows + row) * 2, as: UInt16.self))
                }
            }
        case .int8:
            for row in 0..<count {
                let scale = panel.loadUnaligned(fromByteOffset: row * 4, as: Float.self)
                let bytes = (panel + rows * 4).assumingMemoryBound(to: Int8.self)
                for column in 0..<columns {
                    values[row * columns + column] = scale * Float(bytes[column / 4 * 64 + row * 4 + column % 4])
                }
            }
        case .int4:
            let blockBytes = int4Block
            for row in 0..<count {
                for column in 0..<columns {
                    let block = panel + column / columnBlock * blockBytes, inner = column % columnBlock
                    let half = block.loadUnaligned(fromByteOffset: (inner / group * rows + row) * 2, as: UInt16.self)
                    let byte = block.load(fromByteOffset: 64 + inner / 8 * 64 + row * 4 + inner % 4, as: UInt8.self)
                    let nibble = inner % 8 < 4 ? byte & 15 : byte >> 4
                    values[row * columns + column] = HalfPrecision.toFloat(half) * Float(Int32(nibble) - 8)
                }
            }
        }
    }
}
