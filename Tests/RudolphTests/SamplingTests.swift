import CKernels
import Foundation
import Testing

@testable import Rudolph

@Suite struct SamplingTests {
    struct Case: Decodable {
        let name: String
        /// nil is minus infinity.
        let logits: [Float?]
        let temperature: Float
        let top_k: Int
        let top_p: Float
        let kept: [Int]
    }

    func filtered(_ logits: [Float], _ options: SamplingOptions) -> [Int] {
        var logits = logits
        var sampler = Sampler(options)
        logits.withUnsafeMutableBufferPointer { sampler.filter($0) }
        return sampler.kept.map(\.id)
    }

    /// Tests/Golden/filters.py: the reference's filters.
    @Test func filtersKeepTheReferencesIDs() throws {
        let cases = try Golden.json([Case].self, "filters.json")
        #expect(cases.count > 150)
        for one in cases {
            let options = SamplingOptions(temperature: one.temperature, topK: one.top_k, topP: one.top_p)
            let found = filtered(one.logits.map { $0 ?? -.infinity }, options)
            #expect(found == one.kept, "\(one.name): \(options)")
        }
    }

    /// Top-k, against sorting: with equal logits at the border, of both signs, zeros, and such as are not finite.
    @Test func topKKeepsTheLargest() {
        var generator = RandomGenerator(seed: 5)
        let special: [Float] = [0, -0.0, 1, -1, .leastNonzeroMagnitude, -.leastNormalMagnitude, .greatestFiniteMagnitude, -.infinity]
        for count in [2, 3, 17, 300, 8192] {
            for round in 0..<8 {
                let logits = (0..<count).map { _ -> Float in
                    let u = Float(generator.uniform())
                    return switch round {
                    case 0: 20 * (u - 0.5)
                    case 1: (8 * (u - 0.5)).rounded()
                    case 2: special[min(Int(u * 8), 7)]
                    case 3: -1e-3 * u
                    case 4: u < 0.9 ? -.infinity : u
                    default: 1000 + u
                    }
                }
                for k in [1, 2, count / 100, count / 3, count - 1] where k > 0 {
                    let threshold = logits.sorted(by: >)[k - 1]
                    let expected = logits.indices.filter { logits[$0] >= threshold && logits[$0] > -.infinity }
                    let found = filtered(logits, SamplingOptions(temperature: 1, topK: k, topP: 1))
                    #expect(found.sorted() == expected, "\(k) of \(count), round \(round)")
                    #expect(zip(found, found.dropFirst()).allSatisfy { logits[$0] >= logits[$1] })
                }
            }
        }
    }

    /// Wherever the largest stand: few are found otherwise than many.
    @Test func topKLooksAtEveryPlace() {
        for k in [1, 3, 7] {
            for first in 0...(300 - k) {
                var logits = [Float](repeating: 0, count: 300)
                for place in first..<(first + k) { logits[place] = 1 }
                #expect(filtered(logits, SamplingOptions(temperature: 1, topK: k, topP: 1)) == Array(first..<(first + k)), "\(k) from \(first)")
            }
        }
    }

    /// With the one that makes the sum larger than that; a sum that is equal is not enough.
    @Test func topPEndsWithWhatExceedsIt() {
        let equal = [Float](repeating: 0, count: 4)
        for (topP, kept) in [(0, 1), (0.25, 2), (0.3, 2), (0.5, 3), (0.75, 4), (1, 4)] as [(Float, Int)] {
            #expect(filtered(equal, SamplingOptions(temperature: 1, topK: 0, topP: topP)).count == kept, "\(topP)")
        }
    }

    @Test func theFirstOfEqualsIsTheMostProbable() {
        var (logits, other) = ([1, 3, 3, -3] as [Float], [0, 0, 0, 0] as [Float])
        #expect(logits.withUnsafeMutableBufferPointer { Sampler.argmax($0) } == 1)
        for mixing in [Guidance.Mixing.probabilities, .logits] {
            #expect(mixed(logits, other, Guidance(weight: 0.5, mixing: mixing), .greedy, draws: 1)[1] == 1, "\(mixing)")
            #expect(mixed(other, logits, Guidance(weight: 0.5, mixing: mixing), .greedy, draws: 1)[1] == 1, "\(mixing)")
        }
        other = logits
        #expect(mixed(logits, other, Guidance(weight: 0.5), .greedy, draws: 1)[1] == 1)
    }

    @Test func drawsOnlyWhatIsKeptInItsProportion() {
        let logits: [Float] = [0, log(2), -.infinity, log(4), -20, log(1)]
        var sampler = Sampler(SamplingOptions(temperature: 1, topK: 4, topP: 1))
        var generator = RandomGenerator(seed: 11)
        var counts = [Int](repeating: 0, count: logits.count)
        let draws = 80_000
        for _ in 0..<draws {
            var copy = logits
            counts[copy.withUnsafeMutableBufferPointer { sampler.next($0, &generator) }] += 1
        }
        for (id, share) in [1.0 / 8, 2.0 / 8, 0, 4.0 / 8, 0, 1.0 / 8].enumerated() {
            // Five standard deviations.
            let bound = 5 * (share * (1 - share) * Double(draws)).squareRoot()
            #expect(abs(Double(counts[id]) - share * Double(draws)) <= bound, "id \(id): \(counts)")
        }
    }

    /// Of logits that several sequences go on from.
    @Test func whatWasConsideredOnceIsDrawnFromAgain() {
        var generator = RandomGenerator(seed: 12)
        for options in [SamplingOptions.text, .greedy, .answer, SamplingOptions(temperature: 2, topK: 0, topP: 1)] {
            var logits = (0..<300).map { _ in 9 * generator.uniform() }
            var once = Sampler(options), each = Sampler(options)
            var streams = (0..<20).map { RandomGenerator(seed: 5, stream: $0) }, others = streams
            logits.withUnsafeMutableBufferPointer { once.consider($0) }
            for index in streams.indices {
                let expected = logits.withUnsafeMutableBufferPointer { each.next($0, &others[index]) }
                #expect(once.again(&streams[index]) == expected, "\(options), stream \(index)")
            }
        }
    }

    /// As where few tokens are allowed.
    @Test func theOnlyPossibleTokenIsDrawn() {
        for options in [SamplingOptions.text, .greedy, SamplingOptions(temperature: 1, topK: 0, topP: 0)] {
            for id in 0..<5 {
                var sampler = Sampler(options)
                var generator = RandomGenerator(seed: 1)
                var logits = [Float](repeating: -.infinity, count: 5)
                logits[id] = -1000
                #expect(logits.withUnsafeMutableBufferPointer { sampler.next($0, &generator) } == id)
            }
        }
    }

    /// How often each id comes when two sets of logits are mixed.
    func mixed(_ own: [Float], _ other: [Float], _ guidance: Guidance, _ options: SamplingOptions, draws: Int = 40_000) -> [Double] {
        var sampler = Sampler(options)
        var generator = RandomGenerator(seed: 3)
        var counts = [Int](repeating: 0, count: own.count)
        for _ in 0..<draws {
            var (a, b) = (own, other)
            let id = a.withUnsafeMutableBufferPointer { a in
                b.withUnsafeMutableBufferPointer { sampler.next(a, guidedBy: $0, guidance, &generator) }
            }
            counts[id] += 1
        }
        return counts.map { Double($0) / Double(draws) }
    }

    func softmax(_ logits: [Float]) -> [Double] {
        let weights = logits.map { exp(Double($0)) }
        return weights.map { $0 / weights.reduce(0, +) }
    }

    @Test func guidanceMixesDistributions() {
        let own: [Float] = [2, 1, 0, -1], other: [Float] = [-1, 0, 1, 2]
        let all = SamplingOptions(temperature: 1, topK: 0, topP: 1)
        for weight: Float in [0, 0.2, 0.5, 1] {
            let probabilities = zip(softmax(own), softmax(other)).map { (1 - Double(weight)) * $0 + Double(weight) * $1 }
            let logits = softmax(zip(own, other).map { (1 - weight) * $0 + weight * $1 })
            for (mixing, expected) in [(Guidance.Mixing.probabilities, probabilities), (.logits, logits)] {
                let found = mixed(own, other, Guidance(weight: weight, mixing: mixing), all)
                for id in own.indices {
                    #expect(abs(found[id] - expected[id]) < 0.0125, "weight \(weight), \(mixing), id \(id): \(found), expected \(expected)")
                }
            }
        }
        // Each distribution is filtered by itself: 0, 1 and 3, 2 pass. Mixed as probabilities all may come; as logits none is common, so
        // the condition decides alone.
        let two = SamplingOptions(temperature: 1, topK: 2, topP: 1)
        let probabilities = mixed(own, other, Guidance(weight: 0.5), two)
        #expect(probabilities.allSatisfy { $0 > 0.1 })
        let logits = mixed(own, other, Guidance(weight: 0.5, mixing: .logits), two)
        #expect(logits[0] > 0.5 && logits[1] > 0.1 && logits[2] == 0 && logits[3] == 0)
        // Greedy: each distribution is its largest, and the heavier one wins.
        #expect(mixed(own, other, Guidance(weight: 0.2), .greedy, draws: 10)[0] == 1)
        #expect(mixed(own, other, Guidance(weight: 0.8), .greedy, draws: 10)[3] == 1)
    }

    /// The ids that may come of a mixture and their probabilities, written out.
    func mixture(_ own: [Float], _ other: [Float], _ guidance: Guidance, _ options: SamplingOptions) -> [Int: Double] {
        let (first, second) = (filtered(own, options), filtered(other, options))
        func probabilities(_ kept: [Int], _ logits: [Float]) -> [Int: Double] {
            let weights = kept.map { exp(Double(logits[$0]) / Double(options.temperature)) }
            return Dictionary(uniqueKeysWithValues: zip(kept, weights.map { $0 / weights.reduce(0, +) }))
        }
        let share = Double(guidance.weight)
        switch guidance.mixing {
        case .probabilities:
            let (first, second) = (probabilities(first, own), probabilities(second, other))
            return first.mapValues { $0 * (1 - share) }.merging(second.mapValues { $0 * share }, uniquingKeysWith: +)
        case .logits:
            let common = first.filter { second.contains($0) }
            if common.isEmpty { return probabilities(first, own) }
            return probabilities(common, zip(own, other).map { (1 - guidance.weight) * $0 + guidance.weight * $1 })
        }
    }

    @Test func guidedDrawsFollowTheMixture() {
        var generator = RandomGenerator(seed: 8)
        for round in 0..<12 {
            let own = (0..<40).map { _ in 4 * generator.uniform() }, other = (0..<40).map { _ in 4 * generator.uniform() }
            let options = SamplingOptions(temperature: 0.7, topK: [0, 3, 12][round % 3], topP: round % 2 == 0 ? 1 : 0.8)
            for mixing in [Guidance.Mixing.probabilities, .logits] {
                let guidance = Guidance(weight: 0.3, mixing: mixing)
                let expected = mixture(own, other, guidance, options)
                let found = mixed(own, other, guidance, options, draws: 20_000)
                for id in own.indices {
                    let share = expected[id] ?? 0
                    let bound = 5 * (share * (1 - share) / 20_000).squareRoot()
                    #expect(abs(found[id] - share) <= bound, "\(options), \(mixing), id \(id): \(found[id]), expected \(share)")
                }
            }
        }
    }

    /// Of the whole distributions, not of what filters leave; logits as they are, probabilities at the temperature.
    @Test func greedyGuidanceTakesTheMostProbableOfTheMixture() {
        var generator = RandomGenerator(seed: 9)
        for round in 0..<60 {
            let own = (0..<20).map { _ in 8 * generator.uniform() }, other = (0..<20).map { _ in 12 * generator.uniform() - 4 }
            let temperature: Float = [0.4, 1, 3][round % 3], weight: Float = [0.2, 0.5, 0.8][round / 3 % 3]
            let (first, second) = (softmax(own.map { $0 / temperature }), softmax(other.map { $0 / temperature }))
            let probabilities = zip(first, second).map { (1 - Double(weight)) * $0 + Double(weight) * $1 }
            let logits = zip(own, other).map { Double((1 - weight) * $0 + weight * $1) }
            for (mixing, values) in [(Guidance.Mixing.probabilities, probabilities), (.logits, logits)] {
                let options = SamplingOptions(temperature: temperature, topK: 1, topP: 1)
                let found = mixed(own, other, Guidance(weight: weight, mixing: mixing), options, draws: 1)
                #expect(found.firstIndex(of: 1) == values.indices.max { values[$0] < values[$1] }, "round \(round), \(mixing)")
            }
        }
    }

    @Test func guidanceOfNoWeightDrawsAsWithout() throws {
        let drawer = Drawer(try Demo.session(.int8))
        var options = DrawOptions()
        options.sampling = .greedy
        let plain = try drawer.draw("кошка", options).map(\.tokens)
        options.guidance = Guidance(weight: 0)
        #expect(try drawer.draw("кошка", options).map(\.tokens) == plain)
        options.guidance = Guidance(weight: 0.7, prompt: "собака")
        #expect(try drawer.draw("кошка", options).map(\.tokens) != plain)
    }

    /// The same seed: the same captions and pictures, whatever computes them and however they are batched.
    @Test func seedsAreReproducible() throws {
        let image = try #require(try Golden.images().last)
        var captioning = CaptionOptions()
        captioning.seed = 42
        captioning.candidates = 12
        captioning.ranking = .count
        captioning.sampling.temperature = 2
        var drawing = DrawOptions()
        drawing.seed = 42
        drawing.count = 5
        func captions(_ session: Session) throws -> [String] {
            try Captioner(session).captions(tokens: image.indices, captioning).map { "\($0.count) \($0.text)" }
        }
        let session = try Demo.session(.int8)
        let expected = try captions(session)
        #expect(expected.count > 1)
        let pictures = try Drawer(session).draw("кошка", drawing).map(\.tokens)
        #expect(Set(pictures).count == 5)
        #expect(try captions(session) == expected)
        for batch in [1, 2, 5] {
            drawing.batch = batch
            #expect(try Drawer(session).draw("кошка", drawing).map(\.tokens) == pictures, "batches of \(batch)")
        }
        let two = try Demo.session(.int8, threads: 2)
        #expect(try captions(two) == expected)
        #expect(try Drawer(two).draw("кошка", drawing).map(\.tokens) == pictures)
        // Where logits are mixed or some are made impossible, too.
        var guided = DrawOptions()
        guided.seed = 42
        guided.count = 4
        guided.batch = 4
        guided.guidance = Guidance()
        var completing = CompleteOptions()
        completing.seed = 42
        completing.candidates = 9
        completing.sampling.temperature = 2
        completing.allowedTokens = Array(5..<60)
        let three = try Demo.session(.int8, threads: 3)
        #expect(try Drawer(three).draw("кошка", guided).map(\.tokens) == Drawer(session).draw("кошка", guided).map(\.tokens))
        let texts = try [session, three].map { try Completer($0).complete("красное", completing).map { "\($0.count) \($0.text)" } }
        #expect(texts[0] == texts[1] && texts[0].count > 1)
        // A prefix of the candidates is the same.
        drawing.count = 2
        #expect(try Drawer(session).draw("кошка", drawing).map(\.tokens) == Array(pictures.prefix(2)))
        captioning.seed = 43
        #expect(try captions(session) != expected)
    }

    @Test func generatorsGiveTheSameNumbersEverywhere() {
        // xoshiro256** from SplitMix64's first four numbers of seed 0: the authors' C code.
        var generator = RandomGenerator(seed: 0)
        #expect([generator.next(), generator.next()] == [0x99ec_5f36_cb75_f2b4, 0xbf6e_1f78_4956_452a] as [UInt64])
        var streams = (0..<100).map { RandomGenerator(seed: 0, stream: $0) }
        #expect(Set(streams.indices.map { streams[$0].next() }).count == 100)
        for _ in 0..<1000 {
            let value = generator.uniform()
            #expect(value >= 0 && value < 1)
        }
    }

    @Test(arguments: [
        SamplingOptions(temperature: 0, topK: 2, topP: 1), SamplingOptions(temperature: -1, topK: 2, topP: 1),
        SamplingOptions(temperature: .infinity, topK: 2, topP: 1), SamplingOptions(temperature: .nan, topK: 2, topP: 1),
        SamplingOptions(temperature: 1e-38, topK: 2, topP: 1), SamplingOptions(temperature: 9e-7, topK: 2, topP: 1),
        SamplingOptions(temperature: 1, topK: -1, topP: 1), SamplingOptions(temperature: 1, topK: 2, topP: 1.5),
        SamplingOptions(temperature: 1, topK: 2, topP: -0.1), SamplingOptions(temperature: 1, topK: 2, topP: .nan),
    ])
    func refusesWhatMakesNoSense(sampling: SamplingOptions) throws {
        #expect(throws: RudolphError.self) { try sampling.validate() }
        var options = CaptionOptions()
        options.sampling = sampling
        let tokens = [Int](repeating: 0, count: 64)
        #expect(throws: RudolphError.self) { try Captioner(try Demo.session(.int4)).captions(tokens: tokens, options) }
    }

    @Test func theSmallestTemperatureDrawsTheMostProbable() throws {
        let options = SamplingOptions(temperature: SamplingOptions.smallestTemperature, topK: 0, topP: 1)
        try options.validate()
        var sampler = Sampler(options)
        var generator = RandomGenerator(seed: 1)
        var logits: [Float] = [-1000, 80, 1000, 999.9, 0]
        for _ in 0..<100 { #expect(logits.withUnsafeMutableBufferPointer { sampler.next($0, &generator) } == 2) }
    }

    /// One sequence stands for all candidates, as they would be equal.
    @Test func greedyCandidatesAreOneText() throws {
        let session = try Demo.session(.int8)
        let image = try #require(try Golden.images().first)
        var captions = CaptionOptions.greedy
        let one = try #require(try Captioner(session).captions(tokens: image.indices, captions).first)
        captions.candidates = 4096
        captions.sampling = SamplingOptions(temperature: 0.5, topK: 1, topP: 0.5)
        let many = try Captioner(session).captions(tokens: image.indices, captions)
        #expect(many.map(\.ids) == [one.ids] && many.map(\.text) == [one.text] && many.map(\.count) == [4096])
        captions.ranking = .image
        let ranked = try Captioner(session).captions(tokens: image.indices, captions)
        #expect(ranked.map(\.ids) == [one.ids] && ranked.map(\.count) == [4096] && ranked.map(\.score) == [0])

        var completions = CompleteOptions()
        (completions.candidates, completions.sampling) = (1, .greedy)
        let text = try #require(try Completer(session).complete("красный", completions).first)
        completions.candidates = 3
        let texts = try Completer(session).complete("красный", completions)
        #expect(texts.map(\.ids) == [text.ids] && texts.map(\.count) == [3] && texts.map(\.perplexity) == [text.perplexity])
    }

    @Test func ranksByTheMedian() {
        let scores = Ranking.scores(text: [3, 1, 2], image: [10, 30, 20], textWeight: 0.25)
        // Text: (x - 1) / (2 - 1); image: (x - 10) / (20 - 10).
        #expect(scores == [0.5, 1.5, 1])
        #expect(Ranking.scores(text: [5], image: [7], textWeight: 0.5) == [0])
        #expect(Ranking.scores(text: [], image: [], textWeight: 0.5).isEmpty)
        #expect(Ranking.scores(text: [1, 1, 2, 9], image: [4, 4, 4, 4], textWeight: 1)[2] == 2)
    }

    /// Where the median is the minimum, the reference divides by zero: (5 - 1) / (7/3 - 1) by the mean.
    @Test func ranksByTheMeanWhereTheMedianIsTheMinimum() {
        let cases: [([Float], [Float])] = [([1, 1, 5], [0, 0, 3]), ([5, 1, 1, 3, 1], [10 / 3, 0, 0, 5 / 3, 0]), ([7, 7, 7], [0, 0, 0])]
        for (values, expected) in cases {
            let others: [Float] = values.indices.map { Float(10 * ($0 + 1)) }
            let text = Ranking.scores(text: values, image: others, textWeight: 1)
            let image = Ranking.scores(text: others, image: values, textWeight: 0)
            for scores in [text, image] {
                #expect(zip(scores, expected).allSatisfy { abs($0 - $1) < 1e-6 }, "\(values): \(scores)")
            }
            // A part without weight changes nothing.
            #expect(Ranking.scores(text: values, image: others, textWeight: 0) == Ranking.scores(text: others, image: others, textWeight: 0))
        }
        #expect(Ranking.order(of: Ranking.scores(text: [5, 1, 1], image: [1, 1, 5], textWeight: 0.5)) == [1, 0, 2])
    }

    @Test func ranksPerplexitiesOfAnySize() {
        let largest = Float.greatestFiniteMagnitude
        for values in [[1, 1, largest], [1, 1, 1, 1 + Float.ulpOfOne, largest], [largest, largest, largest], [1, largest, largest]] {
            for weight: Float in [0, 0.05, 0.95, 1] {
                let scores = Ranking.scores(text: values, image: values, textWeight: weight)
                #expect(Ranking.order(of: scores) == [Int](values.indices) && !scores.contains { $0.isNaN }, "\(values), \(weight): \(scores)")
            }
        }
    }

    /// The mean of exp(cross-entropy), not exp of the mean.
    @Test func perplexityIsTheMeanOfInverseProbabilities() {
        var perplexity = Perplexity()
        #expect(perplexity.value.isNaN)
        for (logits, target) in [([0, 0], 0), ([log(3), 0], 1)] as [([Float], Int)] {
            var copy = logits
            copy.withUnsafeMutableBufferPointer { perplexity.add($0, target: target) }
        }
        #expect(abs(perplexity.value - 3) < 1e-5)
        var impossible = [Float](repeating: 0, count: 1000) + [-1000]
        impossible.withUnsafeMutableBufferPointer { perplexity.add($0, target: 1000) }
        #expect(perplexity.value == .greatestFiniteMagnitude && perplexity.mean < 1e41)
    }

    /// Of many positions the workers take each its part, and all give what one gives.
    @Test func perplexitiesAreSharedOutAmongWorkers() {
        let columns = 500
        for (count, threads) in [(0, 2), (1, 2), (7, 1), (40, 3)] {
            var generator = RandomGenerator(seed: UInt64(count))
            var logits = (0..<count * columns).map { _ in 20 * generator.uniform() }
            // One target is none of the logits.
            let targets = (0..<count).map { $0 == 5 ? columns : Int(generator.next() % UInt64(columns)) }
            var (expected, copy) = (Perplexity(), logits)
            for (index, target) in targets.enumerated() {
                copy.withUnsafeMutableBufferPointer { expected.add(.init(rebasing: $0[index * columns..<(index + 1) * columns]), target: target) }
            }
            let found = logits.withUnsafeMutableBufferPointer { logits in
                Perplexity.exponentials(count, threads: threads) {
                    (.init(rebasing: logits[$0 * columns..<($0 + 1) * columns]), targets[$0])
                }
            }
            #expect(found.count == count && found.indices.filter { found[$0] == nil } == (count > 5 ? [5] : []))
            var perplexity = Perplexity()
            for exponential in found { perplexity.add(exponential) }
            #expect(perplexity.mean == expected.mean || count == 0, "\(count) positions, \(threads) threads")
        }
        // Each of two positions waits for the other to be begun.
        let condition = NSCondition()
        nonisolated(unsafe) var (count, isLate) = (0, false)
        var logits: [Float] = [0, 0]
        _ = logits.withUnsafeMutableBufferPointer { logits in
            Perplexity.exponentials(2, threads: 2) { index in
                condition.withLock {
                    count += 1
                    condition.broadcast()
                    let end = Date(timeIntervalSinceNow: 30)
                    while count < 2, !isLate { isLate = !condition.wait(until: end) }
                }
                return (.init(rebasing: logits[index...index]), 0)
            }
        }
        #expect(!isLate)
    }
}
