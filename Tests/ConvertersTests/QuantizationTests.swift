import Foundation
import Rudolph
import Testing

@testable import Converters

@Suite struct QuantizationTests {
    static let shapes = [
        (1, 1), (1, 31), (2, 32), (3, 33), (15, 63), (16, 64), (17, 65), (31, 96), (33, 100), (48, 127), (5, 128), (64, 130), (16, 192),
    ]

    /// The bytes that `encoding` makes of the matrix.
    func encode(_ encoding: Encoding, _ values: [Float], _ rows: Int, _ columns: Int) -> [UInt8] {
        var bytes = [UInt8](repeating: 0xAA, count: encoding.bytes(rows: rows, columns: columns))
        values.withUnsafeBufferPointer { values in
            bytes.withUnsafeMutableBytes { bytes in
                if let from = values.baseAddress, let to = bytes.baseAddress { encoding.encode(from, rows: rows, columns: columns, to: to) }
            }
        }
        return bytes
    }

    func decode(_ encoding: Encoding, _ bytes: [UInt8], _ rows: Int, _ columns: Int) -> [Float] {
        var values = [Float](repeating: .nan, count: rows * columns)
        bytes.withUnsafeBytes { bytes in
            values.withUnsafeMutableBufferPointer { values in
                if let from = bytes.baseAddress, let to = values.baseAddress { encoding.decode(from, rows: rows, columns: columns, to: to) }
            }
        }
        return values
    }

    /// The element (row, column) of packed panels, by the words of rk_matmul.h.
    func element(_ type: WeightType, _ bytes: [UInt8], row: Int, column: Int, columns: Int) -> Float {
        func load<T>(_ offset: Int, _ type: T.Type) -> T { bytes.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: offset, as: T.self) } }
        let wide = (columns + 63) / 64 * 64, r = row % 16, panel = row / 16
        switch type {
        case .f32: return load(panel * 64 * columns + (column * 16 + r) * 4, Float.self)
        case .f16: return Float(load(panel * 32 * columns + (column * 16 + r) * 2, Float16.self))
        case .int8:
            let start = panel * (64 + 16 * wide)
            let value = load(start + 64 + column / 4 * 64 + 4 * r + column % 4, Int8.self)
            return load(start + 4 * r, Float.self) * Float(value)
        case .int4:
            let start = panel * (64 + (columns + 127) / 128 * 1088), block = start + 64 + column / 128 * 1088, inside = column % 128
            let multiple = load(block + inside / 64 * 32 + 2 * r + inside / 32 % 2, Int8.self)
            let byte = load(block + 64 + inside / 8 * 64 + 4 * r + inside % 4, UInt8.self)
            return Float(multiple) * load(start + 4 * r, Float.self) * Float(Int(inside % 8 < 4 ? byte & 15 : byte >> 4) - 8)
        }
    }

    @Test(arguments: WeightType.allCases, shapes)
    func panelsLieAsTheKernelsReadThem(type: WeightType, shape: (rows: Int, columns: Int)) {
        let (rows, columns) = shape
        var generator = Generator(state: UInt64(rows * 1000 + columns))
        let values = generator.normals(rows * columns, deviation: 0.05)
        let bytes = encode(.packed(type), values, rows, columns)
        let panels = (rows + 15) / 16, wide = (columns + 63) / 64 * 64
        let size = [WeightType.f32: 64 * columns, .f16: 32 * columns, .int8: 64 + 16 * wide, .int4: 64 + (columns + 127) / 128 * 1088][type] ?? 0
        #expect(bytes.count == panels * size)

        let decoded = decode(.packed(type), bytes, rows, columns)
        for row in 0..<panels * 16 {
            for column in 0..<(type == .f32 || type == .f16 ? columns : wide) {
                let found = element(type, bytes, row: row, column: column, columns: columns)
                let expected: Float = row < rows && column < columns ? decoded[row * columns + column] : 0
                #expect(found == expected, "\(type) \(shape), row \(row), column \(column)")
            }
        }
        // Where the scale is 0 the integers must be 0 as well: padding in x meets them.
        if type == .int4 {
            for column in columns..<wide {
                let byte = bytes[64 + column / 128 * 1088 + 64 + column % 128 / 8 * 64 + column % 4]
                #expect((column % 8 < 4 ? byte & 15 : byte >> 4) == 8, "column \(column)")
            }
        }
    }

    @Test(arguments: shapes) func errorsStayInsideTheirBounds(shape: (rows: Int, columns: Int)) {
        let (rows, columns) = shape
        var generator = Generator(state: UInt64(rows + columns * 77))
        for deviation: Float in [1e-3, 0.05, 3] {
            let values = generator.normals(rows * columns, deviation: deviation)
            #expect(decode(.packed(.f32), encode(.packed(.f32), values, rows, columns), rows, columns) == values)
            #expect(
                decode(.packed(.f16), encode(.packed(.f16), values, rows, columns), rows, columns) == values.map { Float(Float16($0)) })
            #expect(decode(.f16, encode(.f16, values, rows, columns), rows, columns) == values.map { Float(Float16($0)) })

            // int8: half a step of the row's scale.
            let eight = decode(.packed(.int8), encode(.packed(.int8), values, rows, columns), rows, columns)
            for row in 0..<rows {
                let line = row * columns..<(row + 1) * columns
                let scale = line.map { abs(values[$0]) }.max().map { $0 / 127 } ?? 0
                for index in line { #expect(abs(eight[index] - values[index]) <= scale * 0.50001, "int8 \(shape), element \(index)") }
            }

            // int4: no worse than the largest weight at -8 in each group, by which Q4_0 goes, but for what the nearest multiple of the row's scale,
            // half of it away at most (all of it below the first), adds to at most 8 steps.
            let four = decode(.packed(.int4), encode(.packed(.int4), values, rows, columns), rows, columns)
            for row in 0..<rows {
                let unit = (0..<columns).reduce(0) { max($0, abs(values[row * columns + $1])) } / (6 * 127)
                for first in stride(from: 0, to: columns, by: 32) {
                    let group = (first..<min(first + 32, columns)).map { row * columns + $0 }
                    let extreme = group.map { values[$0] }.max { abs($0) < abs($1) } ?? 0
                    let scale = extreme / -8, away = unit * (abs(scale) < unit ? 1 : 0.5)
                    let plain = group.reduce(0.0) { sum, index in
                        let step = scale == 0 ? 0 : min(7, max(-8, (values[index] / scale).rounded(.toNearestOrEven)))
                        return sum + pow(Double(values[index] - step * scale), 2)
                    }
                    let searched = group.reduce(0.0) { $0 + pow(Double(values[$1] - four[$1]), 2) }
                    let most = plain.squareRoot() + Double(8 * away) * Double(group.count).squareRoot()
                    #expect(searched.squareRoot() <= most * 1.0001, "int4 \(shape), row \(row), column \(first), deviation \(deviation)")
                }
            }
        }
    }

    /// Of all multiples of a row's scale the best is found: here that of least squares, though it puts the largest weight between two integers.
    @Test(arguments: [Float(7.4), -7.4]) func theBestScaleOfInt4IsFound(extreme: Float) {
        let steps = (0..<32).map { $0 == 5 ? (extreme > 0 ? 7 : -7) : Float($0 % 13 - 6) }
        var values = steps
        values[5] = extreme
        let decoded = decode(.packed(.int4), encode(.packed(.int4), values, 1, 32), 1, 32)
        func error(_ copy: [Float]) -> Float { zip(values, copy).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) } }
        let unit = abs(extreme) / (6 * 127)
        for multiple in -127...127 where multiple != 0 {
            let scale = Float(multiple) * unit
            let copy = values.map { min(7, max(-8, ($0 / scale).rounded(.toNearestOrEven))) * scale }
            #expect(error(decoded) <= error(copy) * 1.0001, "\(multiple)")
        }
        #expect(error(decoded) < 0.2)
    }

    @Test func blocksOfQ8_0() {
        var generator = Generator(state: 5)
        for deviation: Float in [1e-3, 1, 100] {
            let values = generator.normals(3 * 64, deviation: deviation) + [Float](repeating: 0, count: 64)
            let bytes = encode(.q8_0, values, 4, 64)
            #expect(bytes.count == 8 * 34)
            let decoded = decode(.q8_0, bytes, 4, 64)
            for block in 0..<8 {
                let range = block * 32..<block * 32 + 32
                let step = (range.map { abs(values[$0]) }.max() ?? 0) / 127
                // Half a step of the scale that is stored, a half; a smaller one than was wanted does not reach the largest.
                let scale = HalfPrecision.toFloat(HalfPrecision.fromFloat(step))
                for index in range {
                    let most = max(scale / 2, abs(values[index]) - 127 * scale) + 1e-6 * abs(values[index])
                    #expect(abs(decoded[index] - values[index]) <= most, "\(index)")
                }
            }
        }
    }

    /// On Gaussian weights: 4 bits with a scale search lose about 8.1 %, 8 bits with a scale for each row under 1 %.
    @Test func distortionOfGaussianWeights() {
        var generator = Generator(state: 9)
        let values = generator.normals(64 * 1024, deviation: 0.02)
        for (type, low, high) in [(WeightType.int4, 0.078, 0.083), (.int8, 0.006, 0.009), (.f16, 1e-5, 3e-4), (.f32, 0, 0)] {
            let coded = decode(.packed(type), encode(.packed(type), values, 64, 1024), 64, 1024)
            let distortion = Distortion(of: values, coded)
            #expect(distortion.count == values.count)
            #expect(low <= distortion.relativeError && distortion.relativeError <= high, "\(type): \(distortion.relativeError)")
            if type != .f32 {
                #expect(abs(distortion.signalToNoise + 20 * log10(distortion.relativeError)) < 1e-9)
            } else {
                #expect(distortion.signalToNoise == .infinity)
            }
        }
        let zeros = Distortion(of: [0, 1, 2, 3, 4], [0, 0, 2, 0, 4])
        #expect(zeros.zeroed == 2)
        #expect(zeros.noise == 10)
        #expect(zeros.signal == 30)
    }

    @Test func extremeValuesNeverCrash() {
        for extreme: Float in [.infinity, -.infinity, .nan, .greatestFiniteMagnitude, .leastNonzeroMagnitude, 65536, 1e-7, 0] {
            for encoding in [Encoding.f32, .f16, .q8_0] + WeightType.allCases.map({ .packed($0) }) {
                for position in [0, 5, 63] {
                    var values = [Float](repeating: 0.5, count: 64)
                    values[position] = extreme
                    let decoded = decode(encoding, encode(encoding, values, 1, 64), 1, 64)
                    let distortion = Distortion(of: values, decoded)
                    if !extreme.isFinite { #expect(!distortion.signal.isFinite || !distortion.noise.isFinite, "\(encoding) \(extreme)") }
                    if extreme.magnitude <= 1 { #expect(distortion.noise.isFinite, "\(encoding) \(extreme)") }
                }
                // A row of nothing else.
                let values = [Float](repeating: extreme, count: 64)
                _ = decode(encoding, encode(encoding, values, 1, 64), 1, 64)
            }
        }
    }

    @Test func halvesConvertExactly() {
        for bits in UInt16.min...UInt16.max {
            let expected = Float(Float16(bitPattern: bits)), found = HalfPrecision.toFloat(bits)
            #expect(found == expected || (found.isNaN && expected.isNaN), "\(bits)")
            #expect(found.sign == expected.sign, "\(bits)")
        }
    }

    @Test func hashesAreThoseOfTheStandard() throws {
        func digest(_ bytes: [UInt8], pieces: Int) throws -> String {
            var hash = try SHA256()
            for first in stride(from: 0, to: bytes.count, by: pieces) {
                try bytes[first..<min(first + pieces, bytes.count)].withUnsafeBytes { try hash.update($0) }
            }
            return try hash.finish()
        }
        for (text, expected) in [
            ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
            ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
            (
                "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
                "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
            ),
            (
                "abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu",
                "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"
            ),
        ] {
            for pieces in [1, 7, 64, 200] { #expect(try digest(Array(text.utf8), pieces: pieces) == expected, "\(text) by \(pieces)") }
        }
        #expect(
            try digest([UInt8](repeating: 0x61, count: 1_000_000), pieces: 9_973)
                == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0")
    }
}
