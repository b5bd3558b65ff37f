import CKernels

/// How the next token is chosen from the logits.
public struct SamplingOptions: Sendable {
    /// Logits are divided by this first; at least `smallestTemperature`.
    public var temperature: Float
    /// Only the k largest logits are kept, and those equal to the k-th; 0 keeps all.
    public var topK: Int
    /// Of those, only the most probable ones until their probabilities sum to more than this; 1 keeps all. The most probable
    /// one is always kept.
    public var topP: Float

    /// Options are checked when a task begins.
    public init(temperature: Float, topK: Int, topP: Float) {
        self.temperature = temperature
        self.topK = topK
        self.topP = topP
    }

    /// The reference's choice for text.
    public static let text = SamplingOptions(temperature: 0.9, topK: 64, topP: 0.8)
    /// The reference's choice for image tokens.
    public static let image = SamplingOptions(temperature: 1, topK: 768, topP: 0.99)
    /// The public instruction model's choice for answers, which `rudolph ask` draws with.
    public static let answer = SamplingOptions(temperature: 1, topK: 32, topP: 0.8)
    /// The public instruction model's choice for pictures that it draws before it answers.
    public static let answerImage = SamplingOptions(temperature: 1, topK: 1024, topP: 0.975)
    /// Always the most probable token.
    public static let greedy = SamplingOptions(temperature: 1, topK: 1, topP: 1)

    /// Below it logits could become infinite, and differences between them no numbers.
    public static let smallestTemperature: Float = 1e-6

    var isGreedy: Bool { topK == 1 }

    func validate() throws(RudolphError) {
        guard temperature >= Self.smallestTemperature, temperature.isFinite else {
            throw RudolphError("temperature \(Double(temperature)), expected 0.000001 or more")
        }
        guard topK >= 0 else { throw RudolphError("top-k \(topK), expected 0 or more") }
        guard topP >= 0, topP <= 1 else { throw RudolphError("top-p \(Double(topP)), expected 0 to 1") }
    }
}

/// Classifier-free guidance: a second prompt's distribution is mixed in.
public struct Guidance: Sendable {
    /// What is mixed.
    public enum Mixing: Sendable {
        /// Each distribution is filtered and normalized, then the probabilities are mixed.
        case probabilities
        /// The filtered logits are mixed before one softmax (the reference's "late softmax").
        case logits
    }

    /// The other prompt's share, 0 to 1.
    public var weight: Float
    /// How the distributions are mixed.
    public var mixing: Mixing
    /// The other prompt; the reference leaves it empty.
    public var prompt: String

    /// The reference's defaults.
    public init(weight: Float = 0.2, mixing: Mixing = .probabilities, prompt: String = "") {
        self.weight = weight
        self.mixing = mixing
        self.prompt = prompt
    }
}

/// Filters logits and draws tokens; keeps its buffers from token to token. One logit at least is finite.
struct Sampler {
    typealias Entry = (id: Int, logit: Float)

    let options: SamplingOptions
    /// What passed the filters, most probable first; equal logits in order of id. Probabilities are relative to the first one's.
    private(set) var kept: [Entry] = []
    private var weights: [Float] = []
    /// Of the distribution that was considered, where the choice is greedy.
    private var mostProbable = 0
    // What passed of the first distribution while the second is filtered, and the mixture of both.
    private var conditional: [Entry] = []
    private var conditionalWeights: [Float] = []
    private var mixed: [Entry] = []

    /// - Parameters:
    ///   - logits: how many there will be; room for those that top-k lets through is made at once.
    ///   - isGuided: whether two distributions will be mixed.
    init(_ options: SamplingOptions, logits: Int = 0, isGuided: Bool = false) {
        self.options = options
        if options.isGreedy { return }
        // A mixture may have all that both let through, and the buffers change places.
        let count = (options.topK == 0 ? logits : min(options.topK, logits)) * (isGuided ? 2 : 1)
        kept.reserveCapacity(count)
        weights.reserveCapacity(count)
        guard isGuided else { return }
        conditional.reserveCapacity(count)
        conditionalWeights.reserveCapacity(count)
        mixed.reserveCapacity(count)
    }

    /// The largest logit's index, the first of equals.
    static func argmax(_ logits: UnsafeMutableBufferPointer<Float>) -> Int {
        var best = 0
        for index in logits.indices where logits[index] > logits[best] { best = index }
        return best
    }

    mutating func next(_ logits: UnsafeMutableBufferPointer<Float>, _ generator: inout RandomGenerator) -> Int {
        consider(logits)
        return again(&generator)
    }

    /// Takes in a distribution, from which `again` draws until the next one.
    mutating func consider(_ logits: UnsafeMutableBufferPointer<Float>) {
        if options.isGreedy {
            mostProbable = Self.argmax(logits)
        } else {
            filter(logits)
        }
    }

    /// Another token from the distribution that `consider` took in: sequences that go on from the same logits need not filter them each.
    func again(_ generator: inout RandomGenerator) -> Int {
        options.isGreedy ? mostProbable : draw(&generator)
    }

    /// Draws from a mixture of two distributions, each filtered by itself: classifier-free guidance. The greedy choice is the most
    /// probable token of the mixture, unfiltered: of two single tokens it would always be the first one.
    mutating func next(
        _ logits: UnsafeMutableBufferPointer<Float>, guidedBy other: UnsafeMutableBufferPointer<Float>, _ guidance: Guidance,
        _ generator: inout RandomGenerator
    ) -> Int {
        if options.isGreedy { return mostProbable(logits, other, guidance) }
        filter(logits)
        swap(&kept, &conditional)
        swap(&weights, &conditionalWeights)
        filter(other)
        mixed.removeAll(keepingCapacity: true)
        switch guidance.mixing {
        case .probabilities: mixProbabilities(guidance.weight)
        case .logits: mixLogits(guidance.weight)
        }
        return draw(&generator)
    }

    /// Leaves in `kept` and `weights` the ids that either filter let through, with their mixed probabilities, in order of id.
    private mutating func mixProbabilities(_ share: Float) {
        Self.toShares(&conditional, conditionalWeights, 1 - share)
        Self.toShares(&kept, weights, share)
        Self.sort(&conditional, by: Self.hasLargerID)
        Self.sort(&kept, by: Self.hasLargerID)
        var place = 0
        for entry in conditional {
            while place < kept.count, kept[place].id < entry.id {
                mixed.append(kept[place])
                place += 1
            }
            if place < kept.count, kept[place].id == entry.id {
                mixed.append((entry.id, entry.logit + kept[place].logit))
                place += 1
            } else {
                mixed.append(entry)
            }
        }
        mixed += kept[place...]
        swap(&kept, &mixed)
        weights.removeAll(keepingCapacity: true)
        for entry in kept { weights.append(entry.logit) }
    }

    /// Leaves in `kept` and `weights` the ids that both filters let through, in order of id. What either filter dropped is dropped, as minus
    /// infinity stays minus infinity in a sum; without any id in common the condition decides alone.
    private mutating func mixLogits(_ share: Float) {
        Self.sort(&conditional, by: Self.hasLargerID)
        Self.sort(&kept, by: Self.hasLargerID)
        var place = 0
        for entry in conditional {
            while place < kept.count, kept[place].id < entry.id { place += 1 }
            if place < kept.count, kept[place].id == entry.id {
                mixed.append((entry.id, (1 - share) * entry.logit + share * kept[place].logit))
            }
        }
        if mixed.isEmpty {
            swap(&kept, &conditional)
            Self.sort(&kept, by: Self.comesLater)
        } else {
            swap(&kept, &mixed)
        }
        var largest = -Float.infinity
        for entry in kept where entry.logit > largest { largest = entry.logit }
        weights.removeAll(keepingCapacity: true)
        for entry in kept { weights.append(rk_exp(entry.logit - largest)) }
    }

    /// Replaces logits by probabilities that sum to `share`.
    private static func toShares(_ entries: inout [Entry], _ weights: [Float], _ share: Float) {
        let total = sum(weights)
        for index in entries.indices { entries[index].logit = share * weights[index] / total }
    }

    /// The most probable token of the mixture of two distributions, the first of equals.
    private func mostProbable(
        _ logits: UnsafeMutableBufferPointer<Float>, _ other: UnsafeMutableBufferPointer<Float>, _ guidance: Guidance
    ) -> Int {
        let weight = guidance.weight
        let scale = 1 / options.temperature
        /// What a softmax subtracts from its logits and divides by.
        func normalizer(_ logits: UnsafeMutableBufferPointer<Float>) -> (largest: Float, sum: Float) {
            let largest = logits[Self.argmax(logits)]
            var sum: Float = 0
            for logit in logits { sum += rk_exp((logit - largest) * scale) }
            return (largest, sum)
        }
        let own = normalizer(logits)
        let others = normalizer(other)
        var best = 0
        var largest = -Float.infinity
        for index in logits.indices {
            let value: Float
            switch guidance.mixing {
            case .probabilities:
                value = (1 - weight) * rk_exp((logits[index] - own.largest) * scale) / own.sum
                    + weight * rk_exp((other[index] - others.largest) * scale) / others.sum
            case .logits:
                value = (1 - weight) * logits[index] + weight * other[index]
            }
            if value > largest {
                largest = value
                best = index
            }
        }
        return best
    }

    private func draw(_ generator: inout RandomGenerator) -> Int {
        var rest = generator.uniform() * Self.sum(weights)
        for (index, entry) in kept.enumerated() {
            rest -= weights[index]
            if rest < 0 { return entry.id }
        }
        return kept.last?.id ?? 0
    }

    private static func sum(_ weights: [Float]) -> Float {
        var sum: Float = 0
        for weight in weights { sum += weight }
        return sum
    }

    /// Leaves in `kept` the ids that top-k and then top-p let through.
    mutating func filter(_ logits: UnsafeMutableBufferPointer<Float>) {
        kept.removeAll(keepingCapacity: true)
        let k = options.topK == 0 ? logits.count : min(options.topK, logits.count)
        let threshold = k < logits.count ? Self.kthLargest(logits, k) : -Float.infinity
        for index in logits.indices where logits[index] >= threshold && logits[index] > -Float.infinity {
            kept.append((index, logits[index] / options.temperature))
        }
        Self.sort(&kept, by: Self.comesLater)
        weights.removeAll(keepingCapacity: true)
        guard let largest = kept.first?.logit else { return }
        var sum: Float = 0
        for entry in kept {
            let weight = rk_exp(entry.logit - largest)
            weights.append(weight)
            sum += weight
        }
        guard options.topP < 1 else { return }
        var cumulative: Float = 0
        for index in kept.indices {
            cumulative += weights[index] / sum
            if cumulative > options.topP {
                kept.removeSubrange((index + 1)...)
                weights.removeSubrange((index + 1)...)
                return
            }
        }
    }

    private static func comesLater(_ one: Entry, _ other: Entry) -> Bool {
        one.logit < other.logit || (one.logit == other.logit && one.id > other.id)
    }

    private static func hasLargerID(_ one: Entry, _ other: Entry) -> Bool { one.id > other.id }

    private static func kthLargest(_ values: UnsafeMutableBufferPointer<Float>, _ k: Int) -> Float {
        // A heap costs little for each value that stays out of it, and much for the others.
        k < values.count / 64 ? kthLargestByHeap(values, k) : kthLargestByCounting(values, k)
    }

    /// On top of a heap of the k largest seen so far.
    private static func kthLargestByHeap(_ values: UnsafeMutableBufferPointer<Float>, _ k: Int) -> Float {
        withUnsafeTemporaryAllocation(of: Float.self, capacity: k) { heap in
            _ = heap.initialize(from: values.prefix(k))
            makeHeap(heap, by: <)
            for value in values.dropFirst(k) where value > heap[0] {
                heap[0] = value
                siftDown(heap, 0, by: <)
            }
            return heap[0]
        }
    }

    /// By the first byte of all, then by the second of those that share its first, and so on to the last.
    private static func kthLargestByCounting(_ values: UnsafeMutableBufferPointer<Float>, _ k: Int) -> Float {
        withUnsafeTemporaryAllocation(of: Int32.self, capacity: 256) { counts in
            var rest = Int32(k)
            var found: UInt32 = 0
            var known: UInt32 = 0
            for shift: UInt32 in [24, 16, 8, 0] {
                counts.initialize(repeating: 0)
                for value in values {
                    let key = ascending(value)
                    if key & known == found { counts[Int(key >> shift & 255)] &+= 1 }
                }
                var byte = 255
                while byte > 0, counts[byte] < rest {
                    rest -= counts[byte]
                    byte -= 1
                }
                found |= UInt32(byte) << shift
                known |= 255 << shift
            }
            return Float(bitPattern: found & signBit == 0 ? ~found : found ^ signBit)
        }
    }

    private static let signBit: UInt32 = 1 << 31

    /// The bits of a float so that they are in order as integers.
    @inline(__always)
    private static func ascending(_ value: Float) -> UInt32 {
        let bits = value.bitPattern
        return bits & signBit == 0 ? bits | signBit : ~bits
    }

    // These run for each token: heaps take no memory, the library's sorting does.

    /// Those that are `above` others come after them.
    @inline(__always)
    private static func sort(_ entries: inout [Entry], by above: (Entry, Entry) -> Bool) {
        entries.withUnsafeMutableBufferPointer { heap in
            makeHeap(heap, by: above)
            for end in heap.indices.dropFirst().reversed() {
                heap.swapAt(0, end)
                siftDown(UnsafeMutableBufferPointer(rebasing: heap[..<end]), 0, by: above)
            }
        }
    }

    /// Puts the element that is `above` all others at index 0, and likewise in each branch.
    @inline(__always)
    private static func makeHeap<Element>(_ heap: UnsafeMutableBufferPointer<Element>, by above: (Element, Element) -> Bool) {
        for parent in (0..<heap.count / 2).reversed() { siftDown(heap, parent, by: above) }
    }

    /// Restores the heap below `index`.
    @inline(__always)
    private static func siftDown<Element>(
        _ heap: UnsafeMutableBufferPointer<Element>, _ index: Int, by above: (Element, Element) -> Bool
    ) {
        let element = heap[index]
        var place = index
        while true {
            var child = 2 * place + 1
            guard child < heap.count else { break }
            if child + 1 < heap.count, above(heap[child + 1], heap[child]) { child += 1 }
            guard above(heap[child], element) else { break }
            heap[place] = heap[child]
            place = child
        }
        heap[place] = element
    }
}
