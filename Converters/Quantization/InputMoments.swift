import CKernels
import Rudolph

/// What a matrix multiplies: the largest magnitudes of its columns, and second moments, sums over positions of x_i x_j, for the columns i, j of
/// each block of `ErrorFeedback.block`.
/// The sums are the same to the bit with any number of workers and every instruction set.
final class InputMoments {
    let columns: Int
    /// Block after block; in each, row after row, `stride` floats apart.
    private let sums: UnsafeMutablePointer<Float>
    private let count: Int
    /// The largest magnitude of each column.
    let largest: UnsafeMutablePointer<Float>

    init(columns: Int) {
        self.columns = columns
        count = Self.bytes(columns: columns) / 4
        sums = .allocate(capacity: count)
        sums.initialize(repeating: 0, count: count)
        largest = .allocate(capacity: columns)
        largest.initialize(repeating: 0, count: columns)
    }

    deinit {
        sums.deallocate()
        largest.deallocate()
    }

    static func bytes(columns: Int) -> Int {
        blocks(of: columns).reduce(0) { $0 + 4 * $1.count * stride($1) }
    }

    /// The columns of each block.
    static func blocks(of columns: Int) -> [Range<Int>] {
        Swift.stride(from: 0, to: columns, by: ErrorFeedback.block).map { $0..<min($0 + ErrorFeedback.block, columns) }
    }

    static func stride(_ block: Range<Int>) -> Int { paddedToPanel(block.count) }

    func row(_ row: Int, of block: Range<Int>) -> UnsafeMutablePointer<Float> {
        // All blocks before are whole.
        sums + block.lowerBound * ErrorFeedback.block + row * Self.stride(block)
    }

    /// Memory for the sums of up to `positions` positions.
    final class Scratch {
        fileprivate let panels, transposed, product: UnsafeMutablePointer<Float>

        init(positions: Int) {
            panels = .allocate(capacity: ErrorFeedback.block * positions)
            transposed = .allocate(capacity: ErrorFeedback.block * positions)
            product = .allocate(capacity: ErrorFeedback.block * ErrorFeedback.block)
        }

        deinit {
            panels.deallocate()
            transposed.deallocate()
            product.deallocate()
        }
    }

    /// A step of all workers: adds the moments of `rows`.
    func add(_ rows: rk_rows, _ worker: UnsafeMutablePointer<rk_worker>, features: UInt32, _ scratch: Scratch) {
        let positions = Int(rows.count)
        for block in Self.blocks(of: columns) {
            let stride = Self.stride(block)
            func forEachOfMine(_ body: (Int) -> Void) {
                for row in Swift.stride(from: Int(worker.pointee.index), to: block.count, by: Int(worker.pointee.count)) { body(row) }
                rk_barrier(worker)
            }
            guard let x = rows.data.map({ $0 + block.lowerBound }) else { return }
            rk_pack_f32(worker, scratch.panels, x, Int32(block.count), rows.count, 1, rows.stride)
            forEachOfMine { row in
                let line = scratch.transposed + row * positions, column = block.lowerBound + row
                for position in 0..<positions {
                    line[position] = x[position * rows.stride + row]
                    largest[column] = max(largest[column], abs(line[position]))
                }
            }
            var matrix = rk_matrix(data: scratch.panels, type: RK_F32, rows: Int32(block.count), columns: rows.count)
            var input = rk_input()
            input.x = UnsafePointer(scratch.transposed)
            input.stride = positions
            input.count = Int32(block.count)
            rk_matmul(worker, features, &matrix, &input, nil, RK_NONE, scratch.product, stride)
            forEachOfMine { row in
                let line = self.row(row, of: block), added = scratch.product + row * stride
                for column in 0..<block.count { line[column] += added[column] }
            }
        }
    }
}
