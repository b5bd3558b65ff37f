import Foundation
import Rudolph

/// Element types of checkpoint tensors.
package enum ElementType: String, Sendable, CaseIterable {
    case float16, bfloat16, float32, float64, uint8, int8, int16, int32, int64, bool

    /// Bytes of an element.
    package var size: Int {
        switch self {
        case .uint8, .int8, .bool: 1
        case .float16, .bfloat16, .int16: 2
        case .float32, .int32: 4
        case .float64, .int64: 8
        }
    }
}

/// A strided view of a tensor inside a mapped checkpoint. Every element that it can reach lies inside its storage.
package struct TensorView: Sendable {
    package let type: ElementType
    package private(set) var shape: [Int]
    /// In elements, one for each dimension; never negative.
    package private(set) var strides: [Int]
    private let file: MappedFile
    private nonisolated(unsafe) let storage: UnsafeRawBufferPointer
    /// The first element, in elements from the start of the storage.
    private var offset: Int

    /// Shapes of a hostile file could have any number of dimensions; no model's tensors have more.
    static let mostDimensions = 8

    /// Fails with a reason when the view reaches past its storage.
    init(
        type: ElementType, shape: [Int], strides: [Int], offset: Int, storage: UnsafeRawBufferPointer, file: MappedFile
    ) throws(ConversionError) {
        func failure(_ reason: String) -> ConversionError {
            .invalid(file: file.path, reason: "a tensor of shape \(shape), strides \(strides) and offset \(offset) \(reason)")
        }
        guard shape.count == strides.count, (shape + strides + [offset]).allSatisfy({ $0 >= 0 }) else {
            throw failure("is malformed")
        }
        var last = offset, count = 1
        for (size, stride) in zip(shape, strides) {
            let (span, overflow1) = max(size - 1, 0).multipliedReportingOverflow(by: stride)
            let (sum, overflow2) = last.addingReportingOverflow(span)
            let (product, overflow3) = count.multipliedReportingOverflow(by: size)
            guard !overflow1, !overflow2, !overflow3 else { throw failure("is too large") }
            (last, count) = (sum, product)
        }
        guard count == 0 || last < storage.count / type.size else {
            throw failure("reaches past its storage of \(storage.count / type.size) elements")
        }
        self.type = type
        self.shape = shape
        self.strides = strides
        self.offset = offset
        self.storage = storage
        self.file = file
    }

    package var rows: Int { shape.first ?? 1 }
    package var columns: Int { shape.dropFirst().reduce(1, *) }

    /// Elements that the storage has, which may be less than the view's: torch expands dimensions by a stride of 0.
    var storedElements: Int { storage.count / type.size }

    /// Rows `range` of the first dimension, which must hold them.
    func rows(_ range: Range<Int>) -> TensorView {
        var view = self
        view.shape[0] = range.count
        view.offset += range.lowerBound * strides[0]
        return view
    }

    /// The dimensions in another order: dimension i of the result is dimension `order[i]` of this view.
    func permuted(_ order: [Int]) -> TensorView {
        var view = self
        view.shape = order.map { shape[$0] }
        view.strides = order.map { strides[$0] }
        return view
    }

    /// The same elements as one row: [1, ...].
    func asRow() -> TensorView {
        var view = self
        view.shape.insert(1, at: 0)
        view.strides.insert(0, at: 0)
        return view
    }

    /// Whether both show the same memory in the same way.
    func isSame(as other: TensorView) -> Bool {
        type == other.type && shape == other.shape && strides == other.strides && offset == other.offset
            && storage.baseAddress == other.storage.baseAddress
    }

    /// Writes the rows `range`, as floats in row-major order, to `destination`, which has room for range.count * columns.
    package func copy(rows range: Range<Int>, to destination: UnsafeMutablePointer<Float>) {
        var next = destination
        let contiguous = isContiguousRow
        for row in range {
            let first = offset + row * (strides.first ?? 0)
            if contiguous {
                load(from: first, stride: 1, count: columns, to: next)
                next += columns
            } else {
                gather(dimension: 1, from: first, to: &next)
            }
        }
    }

    /// Lets the system take back the pages of the checkpoint; they are read again when they are needed.
    func release() { file.release() }

    private var isContiguousRow: Bool {
        var expected = 1
        for (size, stride) in zip(shape, strides).dropFirst().reversed() where size != 1 {
            guard stride == expected else { return false }
            expected *= size
        }
        return true
    }

    private func gather(dimension: Int, from first: Int, to next: inout UnsafeMutablePointer<Float>) {
        guard dimension < shape.count - 1 else {
            let count = dimension < shape.count ? shape[dimension] : 1
            load(from: first, stride: dimension < shape.count ? strides[dimension] : 1, count: count, to: next)
            next += count
            return
        }
        for index in 0..<shape[dimension] {
            gather(dimension: dimension + 1, from: first + index * strides[dimension], to: &next)
        }
    }

    private func load(from first: Int, stride: Int, count: Int, to destination: UnsafeMutablePointer<Float>) {
        guard count > 0, let base = storage.baseAddress.map({ $0 + first * type.size }) else { return }
        func each<T>(_ type: T.Type, _ convert: (T) -> Float) {
            for index in 0..<count {
                destination[index] = convert(base.loadUnaligned(fromByteOffset: index * stride * MemoryLayout<T>.size, as: T.self))
            }
        }
        switch type {
        case .float16:
            if stride == 1 {
                HalfPrecision.toFloats(base, count: count, destination)
            } else {
                each(UInt16.self) { HalfPrecision.toFloat($0) }
            }
        case .float32:
            if stride == 1 {
                memcpy(destination, base, count * 4)
            } else {
                each(Float.self) { $0 }
            }
        case .bfloat16: each(UInt16.self) { Float(bitPattern: UInt32($0) << 16) }
        case .float64: each(Double.self) { Float($0) }
        case .uint8: each(UInt8.self) { Float($0) }
        case .int8: each(Int8.self) { Float($0) }
        case .int16: each(Int16.self) { Float($0) }
        case .int32: each(Int32.self) { Float($0) }
        case .int64: each(Int64.self) { Float($0) }
        case .bool: each(UInt8.self) { $0 == 0 ? 0 : 1 }
        }
    }
}
