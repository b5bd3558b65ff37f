import Foundation
import Rudolph

/// How far what a model expects next is from what another expects, reading the reference's captions of pictures: Kullback-Leibler divergences,
/// means in nats a token. They show what a change does to a model long before its captions do.
struct Divergence {
    private(set) var text = 0.0, image = 0.0

    init(of session: Session, from exact: Session, _ pictures: [Reference.Emoji]) throws {
        let configuration = session.model.configuration
        let left = try session.segment("", task: TaskToken.imageToText, length: configuration.leftTextLength, isPadded: true)
        let image = left.count - 1..<configuration.rightTextStart - 1
        var texts = 0, images = 0
        for picture in pictures {
            let ids = left + picture.tokens + picture.ids
            let text = configuration.rightTextStart..<ids.count - 1
            func slices(_ session: Session) throws -> [[Float]] {
                var slices: [[Float]] = []
                try session.logits(of: ids) { position, logits in
                    if image.contains(position) { slices.append([Float](logits[configuration.textRows...])) }
                    if text.contains(position) { slices.append([Float](logits[..<configuration.textRows])) }
                }
                return slices
            }
            for (index, (expected, found)) in zip(try slices(exact), try slices(session)).enumerated() {
                let divergence = Self.divergence(from: expected, of: found)
                if index < image.count { self.image += divergence } else { self.text += divergence }
            }
            images += image.count
            texts += text.count
        }
        self.image /= Double(max(1, images))
        self.text /= Double(max(1, texts))
    }

    /// sum p log(p / q) of the distributions that the logits stand for.
    static func divergence(from exact: [Float], of found: [Float]) -> Double {
        func logarithms(_ logits: [Float]) -> [Double] {
            let largest = Double(logits.max() ?? 0)
            let sum = logits.reduce(0.0) { $0 + exp(Double($1) - largest) }
            return logits.map { Double($0) - largest - log(sum) }
        }
        return zip(logarithms(exact), logarithms(found)).reduce(0) { $0 + exp($1.0) * ($1.0 - $1.1) }
    }
}
