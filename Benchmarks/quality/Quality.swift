import Foundation
import Rudolph

/// How close a packed demo model comes to the reference, and how good its answers are.
struct Quality {
    /// A share of pictures.
    struct Share {
        var hits = 0
        var total = 0

        var percent: Double { total == 0 ? 0 : 100 * Double(hits) / Double(total) }

        mutating func add(_ isHit: Bool) {
            hits += isHit ? 1 : 0
            total += 1
        }
    }

    /// Greedy captions with exactly the reference's ids.
    var identical = Share(), identicalWithTemplate = Share()
    /// Greedy captions, after the template, that are exactly the picture's name.
    var accuracyTrain = Share(), accuracyHeldOut = Share()
    /// Pictures whose name comes first among it and nine other pictures' names.
    var classifiedTrain = Share(), classifiedHeldOut = Share()
    /// The files of the pictures whose captions differ from the reference's.
    var different: [String] = []

    static let classes = 10

    /// - Parameters:
    ///   - isClassifying: whether pictures are classified as well, which takes as long as captioning them.
    ///   - progress: called with each picture's index.
    init(
        _ session: Session, _ pictures: [Reference.Emoji], classifying isClassifying: Bool = true,
        progress: (Int) -> Void = { _ in }
    ) throws {
        let captioner = Captioner(session)
        let classifier = Classifier(session)
        let names = Array(Set(pictures.map(\.name))).sorted()
        for (index, picture) in pictures.enumerated() {
            progress(index)
            var options = CaptionOptions.greedy
            let plain = try captioner.captions(tokens: picture.tokens, options).first
            options.template = "на картинке"
            let templated = try captioner.captions(tokens: picture.tokens, options).first

            identical.add(plain?.ids == picture.ids)
            identicalWithTemplate.add(templated?.ids == picture.template_ids)
            if plain?.ids != picture.ids || templated?.ids != picture.template_ids { different.append(picture.file) }
            let isRight = templated?.text == "на картинке \(picture.name)"
            if picture.isHeldOut { accuracyHeldOut.add(isRight) } else { accuracyTrain.add(isRight) }
            guard isClassifying else { continue }
            let best = try classifier.classify(tokens: picture.tokens, as: Self.choices(picture.name, among: names, seed: UInt64(index)))
            let isFirst = best.first?.name == picture.name
            if picture.isHeldOut { classifiedHeldOut.add(isFirst) } else { classifiedTrain.add(isFirst) }
        }
    }

    /// The name and nine others, the same ones at every run, in the order in which they were drawn.
    static func choices(_ name: String, among names: [String], seed: UInt64) -> [String] {
        var generator = SplitMix64(state: seed)
        var chosen = [name]
        while chosen.count < min(classes, names.count) {
            let other = names[Int(generator.next() % UInt64(names.count))]
            if !chosen.contains(other) { chosen.append(other) }
        }
        // The right one has no place of its own.
        chosen.swapAt(0, Int(generator.next() % UInt64(chosen.count)))
        return chosen
    }
}
