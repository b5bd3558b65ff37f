import CKernels
import Rudolph

/// Panels of 16 rows in the layouts of `rk_matmul.h`. Rows and columns that pad a panel are zeros.
package enum PackedPanel {
    package static var rows: Int { Int(RK_PANEL) }
    /// Columns that share a scale in an int4 panel.
    static var group: Int { Int4Row.group }
    /// int8 and int4 panels hold columns in multiples of this.
    static var columnBlock: Int { Int(RK_COLUMN_BLOCK) }

    static func padded(_ columns: Int) -> Int { Int(rk_padded_columns(Int32(columns))) }

    /// Bytes of a panel.
    package static func bytes(_ type: WeightType, columns: Int) -> Int { Int(rk_panel_bytes(type.kernelType, Int32(columns))) }

    /// Where an int4 panel has what belongs to a row's group of columns, after the 16 scales of its rows: blocks of four groups hold their
    /// scales, those of an even group and the next one side by side, then the nibbles of each group, 8 columns in 64 bytes.
    private struct Int4Place {
        /// Of the scale.
        let scale: Int
        private let nibbles: Int
        private static var blockBytes: Int { bytes(.int4, columns: 2 * Int(RK_INT4_BLOCK)) - bytes(.int4, columns: Int(RK_INT4_BLOCK)) }

        init(row: Int, group: Int) {
            let block = rows * 4 + group / 4 * Self.blockBytes, inner = group % 4
            scale = block + inner / 2 * 2 * rows + 2 * row + inner % 2
            nibbles = block + 4 * rows + inner * (rows * PackedPanel.group / 2) + row * 4
        }

        /// Of the byte with column `index` of the group: its low half, or its high half if the second is true.
        func nibble(_ index: Int) -> (byte: Int, isHigh: Bool) { (nibbles + index / 8 * 64 + index % 4, index % 8 >= 4) }
    }

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
                        weights, from: first, errors: errors, steps: steps, scale: { _, _ in scale },
                        step: { Float(Rounding.int8($0 * $1)) })
                    for index in 0..<inside { store(Int8(steps[index]), first + index) }
                }
            }
        }
    }

    private static func packInt4(
        _ values: UnsafePointer<Float>, rows count: Int, columns: Int, _ feedback: ErrorFeedback?, to out: UnsafeMutableRawPointer
    ) {
        let scales = out.assumingMemoryBound(to: Float.self), multiples = out.assumingMemoryBound(to: Int8.self)
        let bytes = out.assumingMemoryBound(to: UInt8.self)
        withUnsafeTemporaryAllocation(of: Float.self, capacity: 3 * group + padded(columns) + Int4Row.scratchCount) { scratch in
            guard let weights = scratch.baseAddress else { return }
            let steps = weights + 2 * group, errors = steps + group, room = errors + padded(columns)
            for row in 0..<rows {
                let grid = Int4Row(values + (row < count ? row * columns : 0), count: row < count ? columns : 0)
                scales[row] = grid.scale
                for first in stride(from: 0, to: padded(columns), by: group) {
                    let place = Int4Place(row: row, group: first / group)
                    let inside = row < count ? max(0, min(group, columns - first)) : 0
                    weights.update(repeating: 0, count: group)
                    weights.update(from: values + row * columns + first, count: inside)
                    func scale(_ weights: UnsafePointer<Float>, _ feedback: ErrorFeedback.Group?) -> Float {
                        multiples[place.scale] = grid.multiple(weights, feedback, scratch: room)
                        return Float(multiples[place.scale]) * grid.scale
                    }
                    if let feedback, inside > 0 {
                        feedback.quantize(weights, from: first, errors: errors, steps: steps, scale: scale, step: Int4Row.step)
                    } else {
                        ErrorFeedback.round(weights, scale: scale(weights, nil), to: steps, step: Int4Row.step)
                    }
                    for index in 0..<group {
                        let nibble = UInt8(truncatingIfNeeded: Rounding.integer(steps[index]) &+ 8) & 15, (byte, isHigh) = place.nibble(index)
                        bytes[byte] |= isHigh ? nibble &<< 4 : nibble
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
            for row in 0..<count {
                let scale = panel.loadUnaligned(fromByteOffset: row * 4, as: Float.self)
                for column in 0..<columns {
                    let place = Int4Place(row: row, group: column / group), (byte, isHigh) = place.nibble(column % group)
                    let multiple = panel.load(fromByteOffset: place.scale, as: Int8.self), pair = panel.load(fromByteOffset: byte, as: UInt8.self)
                    values[row * columns + column] = Float(multiple) * scale * Float(Int32(isHigh ? pair >> 4 : pair & 15) - 8)
                }
            }
        }
    }
}
