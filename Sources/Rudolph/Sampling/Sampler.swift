import CKernels

/// How the next token is chosen from the logits.
public struct SamplingOptions: Sendable {
    /// Logits are divided by this first; above 0.
    public var temperature: Float
    /// Only the k largest logits are kept, and those equal to the k-th; 0 keeps all.
    public var topK: Int
    /// Of those, only the most probable ones until their probabilities sum to more than this; 1 keeps all. The most probable
    /// one is always kept.
    public var topP: Float

    public init(temperature: Float, topK: Int, topP: Float) {
        self.temperature = temperature
        self.topK = topK
        self.topP = topP
    }

    /// The reference's choice for text.
    public static let text = SamplingOptions(temperature: 0.9, topK: 64, topP: 0.8)
    /// The reference's choice for image tokens.
    public static let image = SamplingOptions(temperature: 1, topK: 768, topP: 0.99)
    /// Always the most probable token.
    public static let greedy = SamplingOptions(temperature: 1, topK: 1, topP: 1)

    var isGreedy: Bool { topK == 1 }

    func validate() throws(RudolphError) {
        guard temperature > 0, temperature.isFinite else {
            throw RudolphError("temperature \(Double(temperature)), expected a number above 0")
        }
        guard topK >= 0 else { throw RudolphError("top-k \(topK), expected 0 or more") }
        guard topP >= 0, topP <= 1 else { throw RudolphError("top-p \(Double(topP)), expected 0 to 1") }
    }
}

/// Classifier-free guidance: a second prompt's distribution is mixed in.
public struct Guidance: Sendable {
    public enum Mixing: Sendable {
        /// Each distribution is filtered and normalized, then the probabilities are mixed.
        case probabilities
        /// The filtered logits are mixed before one softmax (the reference's "late softmax").
        case logits
    }

    /// The other prompt's share, 0 to 1.
    public var weight: Float
    public var mixing: Mixing
    /// The other prompt; the reference leaves it empty.
    public var prompt: String

    public init(weight: Float = 0.2, mixing: Mixing = .probabilities, prompt: String = "") {
        self.weight = weight
        self.mixing = mixing
        self.prompt = prompt
    }
}

/// Filters logits and draws tokens; keeps its buffers from token to token.
struct Sampler {
    let options: SamplingOptions
    /// What passed the filters, most probable first; equal logits in order of id. Probabilities are relative to the first one's.
    private(set) var kept: [(id: Int, logit: Float)] = []
    private var weights: [Float] = []

    init(_ options: SamplingOptions) {
        self.options = options
    }

    /// The largest logit's index, the first of equals.
    static func argmax(_ logits: UnsafeMutableBufferPointer<Float>) -> Int {
        var best = 0
        for index in logits.indices where logits[index] > logits[best] { best = index }
        return best
    }

    mutating func next(_ logits: UnsafeMutableBufferPointer<Float>, _ generator: inout RandomGenerator) -> Int {
        if options.isGreedy { return Self.argmax(logits) }
        filter(logits)
        return draw(&generator) ?? Self.argmax(logits)
    }

    /// Draws from a mixture of two distributions, each filtered by itself: classifier-free guidance. The greedy choice is the most
    /// probable token of the mixture, unfiltered: of two single tokens it would always be the first one.
    mutating func next(
        _ logits: UnsafeMutableBufferPointer<Float>, guidedBy other: UnsafeMutableBufferPointer<Float>, _ guidance: Guidance,
        _ generator: inout RandomGenerator
    ) -> Int {
        if options.isGreedy { return mostProbable(logits, other, guidance) }
        filter(logits)
        let conditional = kept
        let conditionalWeights = weights
        let conditionalTotal = total
        filter(other)
        let otherTotal = total
        let weight = guidance.weight
        // Both lists in order of id, to be merged.
        var mixed: [(id: Int, logit: Float)] = []
        mixed.reserveCapacity(conditional.count + kept.count)
        switch guidance.mixing {
        case .probabilities:
            for (index, entry) in conditional.enumerated() {
                mixed.append((entry.id, (1 - weight) * conditionalWeights[index] / conditionalTotal))
            }
            for (index, entry) in kept.enumerated() { mixed.append((entry.id, weight * weights[index] / otherTotal)) }
            mixed.sort { $0.id < $1.id }
            var last = 0
            for index in mixed.indices.dropFirst() {
                if mixed[index].id == mixed[last].id {
                    mixed[last].logit += mixed[index].logit
                } else {
                    last += 1
                    mixed[last] = mixed[index]
                }
            }
            if !mixed.isEmpty { mixed.removeSubrange((last + 1)...) }
            kept = mixed
            weights = mixed.map { $0.logit }
        case .logits:
            // What either filter dropped is dropped, as minus infinity stays minus infinity in a sum.
            let others = kept.sorted { $0.id < $1.id }
            var place = 0
            for entry in conditional.sorted(by: { $0.id < $1.id }) {
                while place < others.count, others[place].id < entry.id { place += 1 }
                if place < others.count, others[place].id == entry.id {
                    mixed.append((entry.id, (1 - weight) * entry.logit + weight * others[place].logit))
                }
            }
            // Without any token in common the condition decides alone.
            kept = mixed.isEmpty ? conditional : mixed
            let largest = kept.map { $0.logit }.max() ?? 0
            weights = kept.map { rk_exp($0.logit - largest) }
        }
        return draw(&generator) ?? Self.argmax(logits)
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

    private func draw(_ generator: inout RandomGenerator) -> Int? {
        var rest = generator.uniform() * total
        for (index, entry) in kept.enumerated() {
            rest -= weights[index]
            if rest < 0 { return entry.id }
        }
        return kept.last?.id
    }

    private var total: Float {
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
        kept.withUnsafeMutableBufferPointer { kept in
            Self.makeHeap(kept, by: Self.comesLater)
            for end in kept.indices.reversed() {
                kept.swapAt(0, end)
                Self.siftDown(UnsafeMutableBufferPointer(rebasing: kept[..<end]), 0, by: Self.comesLater)
            }
        }
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

    private static func comesLater(_ one: (id: Int, logit: Float), _ other: (id: Int, logit: Float)) -> Bool {
        one.logit < other.logit || (one.logit == other.logit && one.id > other.id)
    }

    /// The k-th largest value, on top of a heap of the k largest seen so far.
    private static func kthLargest(_ values: UnsafeMutableBufferPointer<Float>, _ k: Int) -> Float {
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

    // Heaps take no memory, as the library's sorting does: these run for each token.

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
