import CKernels
import Foundation
import Rudolph
import Testing

@testable import Converters

@Suite struct CalibrationTests {
    /// Columns of a matrix, positions of its input.
    static let shapes = [(1, 1), (31, 5), (33, 40), (60, 7), (64, 272), (130, 65), (1024, 3), (1064, 30)]

    /// Inputs whose columns go together: each is a mixture of a few hidden values and some noise.
    func inputs(_ positions: Int, _ columns: Int, hidden: Int? = nil, seed: UInt64) -> [Float] {
        var generator = Generator(state: seed)
        let hidden = hidden ?? max(1, columns / 4)
        let mixing = generator.normals(hidden * columns, deviation: 1)
        var x = generator.normals(positions * columns, deviation: 0.3)
        for position in 0..<positions {
            for (index, value) in generator.normals(hidden, deviation: 1 / Float(hidden).squareRoot()).enumerated() {
                for column in 0..<columns { x[position * columns + column] += value * mixing[index * columns + column] }
            }
        }
        return x
    }

    func moments(_ x: [Float], columns: Int, threads: Int) -> InputMoments {
        final class Work {
            var x: [Float]
            let moments: InputMoments, scratch: InputMoments.Scratch
            let positions: Int

            init(_ x: [Float], columns: Int) {
                self.x = x
                positions = x.count / columns
                moments = InputMoments(columns: columns)
                scratch = InputMoments.Scratch(positions: positions)
            }
        }
        let work = Work(x, columns: columns)
        let rows = UnsafeMutablePointer<Float>.allocate(capacity: x.count)
        rows.initialize(from: x, count: x.count)
        defer { rows.deallocate() }
        struct Step {
            let work: Work
            let rows: rk_rows
        }
        var step = Step(
            work: work, rows: rk_rows(data: rows, stride: columns, count: Int32(work.positions), n: Int32(columns)))
        withUnsafeMutablePointer(to: &step) { step in
            rk_parallel(Int32(threads), { context, worker in
                guard let step = context?.assumingMemoryBound(to: Step.self).pointee, let worker else { return }
                step.work.moments.add(step.rows, worker, features: rk_cpu_features(), step.work.scratch)
            }, step)
        }
        return work.moments
    }

    @Test(arguments: shapes) func momentsAreSumsOfProducts(shape: (columns: Int, positions: Int)) {
        let (columns, positions) = shape
        let x = inputs(positions, columns, seed: UInt64(columns + positions))
        let all = (1...3).map { moments(x, columns: columns, threads: $0) }
        for block in InputMoments.blocks(of: columns) {
            // Rows and columns that show every edge: all of them take too long where there are many.
            let some = block.filter { $0 % 7 == 0 || $0 % 16 == 15 || $0 == block.upperBound - 1 }
            for row in some {
                for column in some {
                    var sum = 0.0, size = 0.0
                    for position in 0..<positions {
                        let product = Double(x[position * columns + row]) * Double(x[position * columns + column])
                        sum += product
                        size += abs(product)
                    }
                    let found = all.map { $0.row(row - block.lowerBound, of: block)[column - block.lowerBound] }
                    #expect(
                        abs(Double(found[0]) - sum) <= size * Double(positions + 1) * 0x1p-24, "\(shape), row \(row), column \(column)")
                    #expect(found[1] == found[0] && found[2] == found[0], "threads, \(shape), row \(row), column \(column)")
                }
            }
        }
    }

    func quantized(_ weights: [Float], rows: Int, columns: Int, _ feedback: ErrorFeedback?, as type: WeightType = .int4) -> [Float] {
        let encoding = Encoding.packed(type)
        var decoded = [Float](repeating: .nan, count: rows * columns)
        weights.withUnsafeBufferPointer { weights in
            withUnsafeTemporaryAllocation(byteCount: encoding.bytes(rows: rows, columns: columns), alignment: 64) { bytes in
                decoded.withUnsafeMutableBufferPointer { decoded in
                    guard let from = weights.baseAddress, let to = bytes.baseAddress, let back = decoded.baseAddress else { return }
                    encoding.encode(from, rows: rows, columns: columns, feedback: feedback, to: to)
                    encoding.decode(to, rows: rows, columns: columns, to: back)
                }
            }
        }
        return decoded
    }

    /// What the differences of two matrices come to in products with x: the sum of squares.
    func outputError(_ one: [Float], _ other: [Float], rows: Int, columns: Int, _ x: [Float]) -> Double {
        var sum = 0.0
        for row in 0..<rows {
            let difference = (0..<columns).map { Double(one[row * columns + $0]) - Double(other[row * columns + $0]) }
            for position in 0..<x.count / columns {
                var product = 0.0
                for column in 0..<columns { product += difference[column] * Double(x[position * columns + column]) }
                sum += product * product
            }
        }
        return sum
    }

    /// GPTQ as published: each column's error is spread over the later ones by the inverse of H, from which the column is then taken away. Of int4's
    /// scales the one is taken with which the errors of its group, so spread, cost least.
    func published(_ weights: [Float], rows: Int, columns: Int, _ moments: InputMoments, as type: WeightType) -> [Float] {
        var h = (0..<columns).map { row in (0..<columns).map { Double(moments.row(row, of: 0..<columns)[$0]) } }
        let mean = (0..<columns).reduce(0.0) { $0 + h[$1][$1] } / Double(columns)
        var inverse = h.indices.map { row in h.indices.map { $0 == row ? 1.0 : 0 } }
        for row in h.indices { h[row][row] += 0.01 * mean }
        for pivot in h.indices {
            let divisor = h[pivot][pivot]
            for column in h.indices {
                h[pivot][column] /= divisor
                inverse[pivot][column] /= divisor
            }
            for row in h.indices where row != pivot {
                let factor = h[row][pivot]
                for column in h.indices {
                    h[row][column] -= factor * h[pivot][column]
                    inverse[row][column] -= factor * inverse[pivot][column]
                }
            }
        }
        var left = weights.map { Double($0) }, result = weights, scales = [Float](repeating: 0, count: rows)
        for k in 0..<columns {
            for row in 0..<rows {
                if type == .int8 {
                    scales[row] = (0..<columns).reduce(0) { max($0, abs(weights[row * columns + $1])) } / 127
                } else if k % 32 == 0 {
                    let unit = (0..<columns).reduce(0) { max($0, abs(weights[row * columns + $1])) } / (6 * 127)
                    let group = k..<min(k + 32, columns)
                    scales[row] = bestScale(group.map { left[row * columns + $0] }, unit, group.map { line in group.map { inverse[line][$0] } })
                }
                let value = left[row * columns + k]
                let steps = type == .int8 ? -127.0...127 : -8...7
                let exact = scales[row] == 0 ? 0 : (value / Double(scales[row])).rounded(.toNearestOrEven)
                let step = min(steps.upperBound, max(steps.lowerBound, exact))
                result[row * columns + k] = Float(step) * scales[row]
                let error = (value - Double(result[row * columns + k])) / inverse[k][k]
                for j in k..<columns { left[row * columns + j] -= error * inverse[k][j] }
            }
            let line = inverse[k]
            for row in k..<columns where row > k {
                let factor = inverse[row][k] / line[k]
                for column in k..<columns { inverse[row][column] -= factor * line[column] }
            }
        }
        return result
    }

    /// Of the multiples of `unit` for a group of int4, with the inverse of H between its columns.
    func bestScale(_ group: [Double], _ unit: Float, _ inverse: [[Double]]) -> Float {
        let largest = group.reduce(0) { max($0, abs($1)) } / Double(unit)
        let last = min(127, max(1, (largest / 6).rounded(.down))), first = min(last, max(1, (largest / 10).rounded(.up)))
        var best: (scale: Float, cost: Double) = (0, .infinity)
        for multiple in Array(stride(from: first, through: last, by: 1)) + Array(stride(from: -first, through: -last, by: -1)) {
            let scale = Float(multiple) * unit
            var left = group, inverse = inverse, cost = 0.0
            for k in group.indices {
                let error = left[k] - min(7, max(-8, (left[k] / Double(scale)).rounded(.toNearestOrEven))) * Double(scale)
                cost += error * error / inverse[k][k]
                let line = inverse[k]
                for j in k..<group.count { left[j] -= error / line[k] * line[j] }
                for row in k + 1..<max(k + 1, group.count) {
                    let factor = inverse[row][k] / line[k]
                    for column in k..<group.count { inverse[row][column] -= factor * line[column] }
                }
            }
            if cost < best.cost { best = (scale, cost) }
        }
        return best.scale
    }

    @Test(arguments: [(16, 64, 300), (5, 33, 80), (17, 130, 500)], [WeightType.int8, .int4])
    func columnsMakeUpForErrorsAsPublished(shape: (rows: Int, columns: Int, positions: Int), type: WeightType) {
        let (rows, columns, positions) = shape
        var generator = Generator(state: UInt64(rows))
        let weights = generator.normals(rows * columns, deviation: 0.05)
        let x = inputs(positions, columns, seed: 3)
        let moments = moments(x, columns: columns, threads: 1)
        let found = quantized(weights, rows: rows, columns: columns, ErrorFeedback(moments), as: type)
        let expected = published(weights, rows: rows, columns: columns, moments, as: type)
        let different = (0..<rows).filter { found[$0 * columns..<($0 + 1) * columns] != expected[$0 * columns..<($0 + 1) * columns] }
        #expect(different.isEmpty, "\(shape): rows \(different)")
        let plain = outputError(quantized(weights, rows: rows, columns: columns, nil, as: type), weights, rows: rows, columns: columns, x)
        let error = outputError(found, weights, rows: rows, columns: columns, x)
        #expect(error < 0.6 * plain, "\(shape): \(error) of \(plain)")
    }

    /// More columns than a block: each block gains by itself.
    @Test func blocksOfColumnsGain() {
        let rows = 3, columns = ErrorFeedback.block + 40
        var generator = Generator(state: 8)
        let weights = generator.normals(rows * columns, deviation: 0.05)
        let x = inputs(600, columns, hidden: 10, seed: 4)
        let feedback = ErrorFeedback(moments(x, columns: columns, threads: 2))
        let found = quantized(weights, rows: rows, columns: columns, feedback), plain = quantized(weights, rows: rows, columns: columns, nil)
        for block in InputMoments.blocks(of: columns) {
            func part(_ values: [Float], _ rows: Int) -> [Float] {
                (0..<rows).flatMap { row in block.map { values[row * columns + $0] } }
            }
            let inputs = part(x, 600), originals = part(weights, rows)
            let errors = [found, plain].map { outputError(part($0, rows), originals, rows: rows, columns: block.count, inputs) }
            #expect(errors[0] < 0.6 * errors[1], "\(block): \(errors)")
        }
    }

    /// Inputs that were divided by factors after their moments were taken: as if those had been taken afterwards.
    @Test func factorsChangeTheMoments() {
        let rows = 4, columns = 70
        var generator = Generator(state: 11)
        let weights = generator.normals(rows * columns, deviation: 0.05)
        // Powers of two, so that every product is exact.
        let factors = (0..<columns).map { Float(sign: .plus, exponent: $0 % 5 - 2, significand: 1) }
        let x = inputs(200, columns, seed: 6), divided = x.indices.map { x[$0] / factors[$0 % columns] }
        let found = ErrorFeedback(moments(x, columns: columns, threads: 1), columnFactors: factors)
        let expected = ErrorFeedback(moments(divided, columns: columns, threads: 1))
        for type in [WeightType.int8, .int4] {
            #expect(
                quantized(weights, rows: rows, columns: columns, found, as: type)
                    == quantized(weights, rows: rows, columns: columns, expected, as: type))
        }
    }

    @Test func largestInputsAreFound() {
        let columns = ErrorFeedback.block + 3, positions = 9
        let x = inputs(positions, columns, seed: 2)
        for threads in 1...3 {
            let found = moments(x, columns: columns, threads: threads)
            for column in 0..<columns {
                let expected = (0..<positions).reduce(0) { max($0, abs(x[$1 * columns + column])) }
                #expect(found.largest[column] == expected, "\(threads) threads, column \(column)")
            }
        }
    }

    /// Nothing to make up for: inputs that do not go together, or none at all. int4's scales go by how large its inputs are.
    @Test(arguments: [0, 1]) func otherwiseNothingChanges(scale: Float) {
        let columns = 96, rows = 17
        var x = [Float](repeating: 0, count: columns * columns)
        var generator = Generator(state: 21)
        let weights = generator.normals(rows * columns, deviation: 0.05)
        for (type, growth) in [(WeightType.int8, Float(1)), (.int4, 0)] {
            for column in 0..<columns { x[column * columns + column] = scale * (1 + growth * Float(column)) }
            let feedback = ErrorFeedback(moments(x, columns: columns, threads: 1))
            #expect(
                quantized(weights, rows: rows, columns: columns, feedback, as: type)
                    == quantized(weights, rows: rows, columns: columns, nil, as: type))
        }
    }

    // MARK: Conversions

    /// A draft's texts and pictures, what is learnt from them and the file are the same with any number of threads.
    @Test(arguments: [WeightType.int8, .int4]) func theFileDoesNotDependOnThreads(type: WeightType) throws {
        let folder = try TemporaryFolder()
        var conversion = try SmallModel().conversion(folder, type, calibrated: true)
        let files = try [1, 2, 3].map { threads in
            conversion.threads = threads
            let path = folder.path("\(threads).gguf")
            #expect(try conversion.run(output: path).calibratedPositions >= 16 * 48 / 2)
            return try Data(contentsOf: URL(filePath: path))
        }
        #expect(files[1] == files[0] && files[2] == files[0])
        conversion.isCalibrated = false
        #expect(try conversion.run(output: folder.path("plain.gguf")).calibratedPositions == 0)
        let plain = try Data(contentsOf: URL(filePath: folder.path("plain.gguf")))
        #expect(plain.count <= files[0].count && plain != files[0])
        #expect(try Verification.run(path: folder.path("1.gguf")) == [])
    }

    /// What is learnt of a layer is the same, however many layers fit into memory at once.
    @Test func littleMemoryIsEnough() throws {
        let folder = try TemporaryFolder(), model = try SmallModel()
        let draft = folder.path("draft.gguf"), hidden = model.configuration.hiddenSize
        _ = try model.conversion(folder).run(output: draft)
        var readings = [0, 0]
        let calibrations = try [0, Int.max].enumerated().map { index, memory in
            try Calibration(draft: draft, output: "out", threads: 2, memory: memory) {
                if $0.tensor.hasPrefix("draft: what"), $0.done == 0 { readings[index] += 1 }
                return true
            }
        }
        var generator = Generator(state: 5)
        for layer in 0..<model.configuration.layers {
            for matrix in LayerMatrix.allCases {
                let columns = matrix == .down ? 4 * hidden : hidden
                let weights = generator.normals(4 * columns, deviation: 0.05)
                let found = try calibrations.map {
                    quantized(weights, rows: 4, columns: columns, try $0.feedback(LayerInput(layer: layer, matrix: matrix)))
                }
                #expect(found[0] == found[1], "layer \(layer), \(matrix)")
                #expect(found[0] != quantized(weights, rows: 4, columns: columns, nil), "layer \(layer), \(matrix)")
            }
        }
        #expect(readings == [model.configuration.layers, 1])
    }

    @Test func otherTypesAreNotCalibrated() throws {
        let folder = try TemporaryFolder()
        for type in [WeightType.f32, .f16] {
            let report = try SmallModel().conversion(folder, type, calibrated: true).run(output: folder.path("\(type.name).gguf"))
            #expect(report.calibratedPositions == 0)
        }
    }

    /// Channels that stand out by far, as those of large models do: what makes them and what multiplies them cancel, so the model computes the
    /// same, but 8 bits for a row of activations would be left with little but them.
    @Test func int8EqualizesColumnsThatStandOut() throws {
        func logits(_ model: SmallModel, _ type: WeightType, calibrated: Bool) throws -> [Float] {
            let folder = try TemporaryFolder(), path = folder.path("out.gguf")
            _ = try model.conversion(folder, type, calibrated: calibrated).run(output: path)
            let session = try Session(try Model(path: path), threads: 1)
            var all: [Float] = []
            try session.logits(of: [2, 12, 5, 6, 3] + (0..<16).map { $0 % 20 } + [2, 13, 7]) { all += $1 }
            return all
        }
        let plain = try SmallModel(), hidden = plain.configuration.hiddenSize
        var model = plain
        func scale(_ name: String, rows: Bool, _ factor: Float, _ index: Int) throws {
            guard case (let shape, .floats(var values))? = model.transformer[name] else { throw ConversionError.invalid(file: name, reason: "") }
            let columns = shape.count == 2 ? shape[1] : 1
            for other in 0..<(rows ? columns : shape[0]) {
                values[rows ? index * columns + other : other * columns + index] *= factor
            }
            model.transformer[name] = (shape, .floats(values))
        }
        for layer in 0..<plain.configuration.layers {
            let name = "transformer.layers.\(layer).", attention = name + "attention."
            for part in ["weight", "bias"] {
                try scale("\(name)input_layernorm.\(part)", rows: true, 64, 3)
                try scale("\(name)post_attention_layernorm.\(part)", rows: true, 64, 7)
                try scale("\(attention)query_key_value.\(part)", rows: true, 64, 2 * hidden + 20)
            }
            try scale("\(attention)query_key_value.weight", rows: false, 1 / 64, 3)
            try scale("\(name)mlp.dense_h_to_4h.weight", rows: false, 1 / 64, 7)
            try scale("\(attention)dense.weight", rows: false, 1 / 64, 20)
        }
        let exact = try logits(plain, .f32, calibrated: false)
        func error(_ model: SmallModel, calibrated: Bool) throws -> Float {
            let found = try logits(model, .int8, calibrated: calibrated)
            let difference = zip(exact, found).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
            return (difference / exact.reduce(0) { $0 + $1 * $1 }).squareRoot()
        }
        let usual = try error(plain, calibrated: false), without = try error(model, calibrated: false), with = try error(model, calibrated: true)
        print("int8: error \(usual); with columns that stand out \(without), equalized \(with)")
        #expect(without > 3 * usual && with < 1.5 * usual)
    }

    /// Nobody has given the draft its name.
    @Test func messagesNameTheOutput() {
        let reason = failure { _ = try Calibration(draft: "/missing/draft", output: "out", threads: 1) { _ in true } }
        #expect(reason == "out: its draft does not run: cannot be opened: No such file or directory")
    }

    /// Whenever it is stopped, in the draft as well, nothing is left.
    @Test func stoppingLeavesNothing() throws {
        let folder = try TemporaryFolder()
        let conversion = try SmallModel().conversion(folder, calibrated: true), before = folder.contents
        var steps: [String] = [], last = 0
        _ = try conversion.run(output: folder.path("whole.gguf")) {
            if steps.last != $0.tensor { steps.append($0.tensor) }
            #expect($0.done <= $0.total && ($0.done >= last || $0.tensor.hasPrefix("draft") || $0.tensor.hasPrefix("vqgan")), "\($0)")
            last = $0.done
            return true
        }
        #expect(steps.contains { $0.hasPrefix("draft") })
        try FileManager.default.removeItem(atPath: folder.path("whole.gguf"))
        for step in steps {
            #expect(throws: ConversionError.cancelled, "\(step)") {
                try conversion.run(output: folder.path("out.gguf")) { $0.tensor != step }
            }
            #expect(folder.contents == before, "\(step)")
        }
    }

    /// Texts of one token, which is the beginning: nothing can be written, the picture is all that a sequence has.
    @Test func shortTextsAreCalibratedAsWell() throws {
        let folder = try TemporaryFolder()
        let json = SmallModel.json.replacing("\"l_text_seq_length\": 5", with: "\"l_text_seq_length\": 1")
            .replacing("\"r_text_seq_length\": 7", with: "\"r_text_seq_length\": 1")
        let model = try SmallModel(json: json)
        #expect(model.configuration.sequenceLength == 18)
        #expect(try model.conversion(folder, calibrated: true).run(output: folder.path("out.gguf")).calibratedPositions >= 16 * 48 * 17 / 18)
    }

    @Test func withoutItsTaskTokensAModelIsNotCalibrated() throws {
        let folder = try TemporaryFolder()
        var model = try SmallModel()
        model.configuration.taskTokens = [.init(name: "<LT_I2T>", id: 12), .init(name: "<RT_I2T>", id: 13)]
        var warnings: [String] = []
        let report = try model.conversion(folder, calibrated: true).run(output: folder.path("out.gguf"), warn: { warnings.append($0) })
        #expect(report.calibratedPositions == 0)
        #expect(warnings.contains("int4 is not calibrated: small has no task token <LT_T2T>"), "\(warnings)")
    }
}
