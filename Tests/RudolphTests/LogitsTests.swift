import Foundation
import Testing

@testable import Rudolph

@Suite struct LogitsTests {
    /// Logits of every position.
    func logits(_ session: Session, _ ids: [Int]) throws -> [[Float]] {
        var rows: [[Float]] = []
        try session.logits(of: ids) { position, row in
            #expect(position == rows.count)
            rows.append(row)
        }
        return rows
    }

    func difference(_ found: [Float], _ expected: ArraySlice<Float>) -> Float {
        zip(found, expected).reduce(0) { max($0, abs($1.0 - $1.1)) }
    }

    @Test(arguments: [WeightType.f32, .f16])
    func equalTheReferenceAtEveryPosition(type: WeightType) throws {
        let ids = try Golden.Array("full_ids.npy").integers()
        let expected = try Golden.Array("full_logits.npy")
        let columns = expected.shape[1]
        let values = try expected.floats()
        let largest = values.reduce(0) { max($0, abs($1)) }
        let found = try logits(try Demo.session(type), ids)
        #expect(found.count == expected.shape[0])
        var worst: Float = 0
        for (position, row) in found.enumerated() {
            #expect(row.count == columns)
            let difference = difference(row, values[(position * columns)..<((position + 1) * columns)]) / largest
            #expect(difference <= 1e-3, "position \(position)")
            worst = max(worst, difference)
        }
        print("\(type.name): largest difference of \(found.count) x \(columns) logits: \(worst) of the largest logit")
    }

    /// What each layer but the last gives to the next, whose norm is the first to see it; the last one's output is in the logits.
    @Test func hiddenStatesEqualTheReference() throws {
        let session = try Demo.session()
        let layers = session.model.transformer.layers, columns = session.model.configuration.hiddenSize
        let ids = try Golden.Array("full_ids.npy").integers()
        let reference = try Golden.Array("full_hidden_states.npy")
        #expect(reference.shape == [layers.count, ids.count, columns])
        let values = try reference.floats()

        var normed = [[Float]](repeating: [], count: layers.count)
        try session.observe(ids) { _, layer, matrix, rows in
            guard matrix == .queryKeyValue else { return }
            for row in 0..<Int(rows.count) { normed[layer] += UnsafeBufferPointer(start: rows.data + row * rows.stride, count: columns) }
        }
        var worst: Float = 0
        for layer in 1..<layers.count {
            let norm = layers[layer].inputNorm
            let expected = (0..<ids.count).flatMap { position -> [Float] in
                let start = ((layer - 1) * ids.count + position) * columns
                let row = values[start..<(start + columns)].map { Double($0) }
                let mean = row.reduce(0, +) / Double(columns)
                let variance = row.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(columns)
                return row.indices.map { Float((row[$0] - mean) / (variance + 1e-5).squareRoot()) * norm.weight[$0] + norm.bias[$0] }
            }
            #expect(normed[layer].count == expected.count)
            let largest = expected.reduce(0) { max($0, abs($1)) }
            let difference = difference(normed[layer], expected[...]) / largest
            #expect(difference <= 1e-3, "the output of layer \(layer - 1)")
            worst = max(worst, difference)
        }
        print("largest difference of hidden states, normed: \(worst) of the layer's largest")
    }

    @Test func equalTheReferenceAfterPictures() throws {
        let session = try Demo.session()
        for image in try Golden.images() {
            for (name, template) in [("", 0), ("_template", 2)] {
                let prompt = image.template_caption_ids.prefix(2 + template)
                let found = try #require(try logits(session, image.left_ids + image.indices + prompt).last)
                let expected = try Golden.Array(image.png.replacing(".png", with: "_logits\(name).npy")).floats()
                let largest = expected.reduce(0) { max($0, abs($1)) }
                #expect(found.count == expected.count)
                #expect(difference(found, expected[...]) / largest <= 1e-3, "\(image.png)\(name)")
            }
        }
    }

    /// The reference's training loss, from our logits.
    @Test func lossesEqualTheReference() throws {
        struct Loss: Decodable {
            let loss, l_text_loss, image_loss, r_text_loss: Double
        }
        let expected = try Golden.json(Loss.self, "full_loss.json")
        let ids = try Golden.Array("full_ids.npy").integers()
        let session = try Demo.session()
        let configuration = session.model.configuration
        let rows = try logits(session, ids)
        func crossEntropy(_ position: Int, _ columns: Range<Int>, _ target: Int) -> Double {
            let values = rows[position][columns].map { Double($0) }
            let largest = values.reduce(-.infinity, max)
            return log(values.reduce(0) { $0 + exp($1 - largest) }) + largest - values[target]
        }
        func mean(_ values: [Double]) -> Double { values.reduce(0, +) / Double(values.count) }
        let text = 0..<configuration.textRows, image = configuration.textRows..<(configuration.textRows + configuration.imageRows)
        let (left, right) = (configuration.leftTextLength, configuration.rightTextStart)
        // Pads of the left text are targets as well, by their own rows; the last left position is scored against the first image token
        // among the text rows.
        let leftLoss = mean((0..<left).map { position in
            let next = ids[position + 1]
            let target = next == 0 && position + 1 < left ? configuration.textRows - left + position + 1 : next
            return crossEntropy(position, text, target)
        })
        let imageLoss = mean((left..<(right - 1)).map { crossEntropy($0, image, ids[$0 + 1]) })
        let rightLoss = mean((right..<(ids.count - 1)).filter { ids[$0 + 1] != 0 }.map { crossEntropy($0, text, ids[$0 + 1]) })
        let loss = (leftLoss + 7 * imageLoss + rightLoss) / 9
        for (name, found, expected) in [
            ("left text", leftLoss, expected.l_text_loss), ("image", imageLoss, expected.image_loss),
            ("right text", rightLoss, expected.r_text_loss), ("together", loss, expected.loss),
        ] {
            #expect(abs(found - expected) <= 1e-3 * expected, "\(name)")
        }
    }

    @Test(arguments: Demo.types)
    func refuseWhatIsNoSequence(type: WeightType) throws {
        let session = try Demo.session(type)
        #expect(message { try session.logits(of: []) { _, _ in } } == "0 ids, expected 1 to 128")
        #expect(message { try session.logits(of: [Int](repeating: 0, count: 129)) { _, _ in } } == "129 ids, expected 1 to 128")
        for (position, token) in [(0, -1), (0, 2096), (32, 1040), (127, .max)] {
            var ids = [Int](repeating: 0, count: 128)
            ids[position] = token
            #expect(message { try session.logits(of: ids) { _, _ in } }.hasPrefix("token \(token) at position \(position)"))
        }
    }
}
