import CKernels

/// The reference's perplexity: the mean over positions of exp(cross-entropy), not exp of the mean.
struct Perplexity {
    private var sum: Double = 0
    private var count = 0

    /// Adds a position whose next token was `target`. Overwrites the logits.
    mutating func add(_ logits: UnsafeMutableBufferPointer<Float>, target: Int) {
        add(Self.exponential(logits, target: target, rk_norm_kernels_for(rk_cpu_features())))
    }

    /// Adds a position of which this is exp(cross-entropy); nil counts for nothing.
    mutating func add(_ exponential: Double?) {
        guard let exponential else { return }
        sum += exponential
        count += 1
    }

    /// exp(cross-entropy) of `count` positions, shared out among `threads` workers, which call `position` for the logits of each and the token that
    /// came next. Overwrites the logits.
    static func exponentials(
        _ count: Int, threads: Int, _ position: (Int) -> (logits: UnsafeMutableBufferPointer<Float>, target: Int)
    ) -> [Double?] {
        let kernels = rk_norm_kernels_for(rk_cpu_features())
        return [Double?](unsafeUninitializedCapacity: count) { exponentials, initialized in
            exponentials.initialize(repeating: nil)
            inParallel(count == 1 ? 1 : threads) { worker in
                while true {
                    let index = Int(rk_next_chunk(worker, Int32(count)))
                    if index < 0 { return }
                    let (logits, target) = position(index)
                    exponentials[index] = exponential(logits, target: target, kernels)
                }
            }
            initialized = count
        }
    }

    private static func exponential(_ logits: UnsafeMutableBufferPointer<Float>, target: Int, _ kernels: rk_norm_kernels) -> Double? {
        guard logits.indices.contains(target), let base = logits.baseAddress, let softmax = kernels.softmax else { return nil }
        // exp(cross-entropy) = 1 / probability of the target, which is never 0: rk_exp is not.
        let total = softmax(base, Int32(logits.count))
        return Double(total) / Double(logits[target])
    }

    var mean: Double { count == 0 ? .nan : sum / Double(count) }
    var value: Float { Self.float(mean) }

    /// A mean as a float, the largest one where it is larger than all.
    static func float(_ mean: Double) -> Float { Float(min(mean, Double(Float.greatestFiniteMagnitude))) }
}
