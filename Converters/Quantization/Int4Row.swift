import CKernels

/// The scales of a row whose weights become integers -8...7: each group of 32 has a multiple -127...127 of the row's one scale.
///
/// Tried are all multiples, on either side of zero, that put the group's weight of the largest magnitude 6 to 10 steps from zero: below 7 the other
/// weights get a finer grid than the largest would allow, above 8 the largest is clipped, and the sign decides which end has the extra step, -8.
struct Int4Row {
    static var group: Int { Int(RK_GROUP) }

    /// Steps from zero to the weight of the largest magnitude, at least and at most.
    private static let fewest: Float = 6, most: Float = 10
    private static let largestMultiple: Float = 127
    /// Multiples that are tried at once.
    private static var lanes: Int { 16 }

    /// The row's scale: its largest weight may lie `fewest` steps from zero. 0 where all weights are too small for that, or one is infinite.
    let scale: Float

    init(_ weights: UnsafePointer<Float>, count: Int) {
        let scale = Self.largest(weights, count) / (Self.fewest * Self.largestMultiple)
        self.scale = scale >= .leastNormalMagnitude && scale.isFinite ? scale : 0
    }

    /// The multiple for a group of `weights` whose rounding errors cost least: the sum of their squares or, with `feedback`, what they cost after
    /// later weights have made up for earlier ones. `scratch` has room for `scratchCount` floats.
    func multiple(_ weights: UnsafePointer<Float>, _ feedback: ErrorFeedback.Group?, scratch: UnsafeMutablePointer<Float>) -> Int8 {
        let largest = Self.largest(weights, Self.group)
        guard scale > 0, largest > 0 else { return 0 }
        let last = bounded(largest / (Self.fewest * scale), .down), first = min(bounded(largest / (Self.most * scale), .up), last)
        var best = 0, least = Float.infinity
        let multiples = scratch, costs = multiples + Self.lanes
        for sign in [1, -1] {
            for begin in stride(from: first, through: last, by: Self.lanes) {
                for lane in 0..<Self.lanes { multiples[lane] = Float(sign * min(begin + lane, last)) }
                find(costs, of: multiples, weights, feedback, scratch: costs + Self.lanes)
                for lane in 0..<Self.lanes where costs[lane] < least { (best, least) = (sign * min(begin + lane, last), costs[lane]) }
            }
        }
        return Int8(best)
    }

    static var scratchCount: Int { lanes * (5 + group) }

    /// 1...127
    private func bounded(_ multiple: Float, _ rule: FloatingPointRoundingRule) -> Int {
        multiple >= 1 ? multiple < Self.largestMultiple ? Int(multiple.rounded(rule)) : Int(Self.largestMultiple) : 1
    }

    /// Leaves in `costs` what rounding with these multiples costs, a lane each. Loops of a fixed length, so that they become vector code.
    private func find(
        _ costs: UnsafeMutablePointer<Float>, of multiples: UnsafePointer<Float>, _ weights: UnsafePointer<Float>, _ feedback: ErrorFeedback.Group?,
        scratch: UnsafeMutablePointer<Float>
    ) {
        let lanes = Self.lanes, scales = scratch, inverses = scales + lanes, errors = inverses + lanes, trials = errors + lanes
        for lane in 0..<lanes {
            scales[lane] = multiples[lane] * scale
            inverses[lane] = 1 / scales[lane]
            costs[lane] = 0
        }
        for column in 0..<Self.group {
            for lane in 0..<lanes { trials[column * lanes + lane] = weights[column] }
        }
        for column in 0..<Self.group {
            let own = trials + column * lanes, cost = feedback.map { $0.costs[column] } ?? 1
            for lane in 0..<lanes {
                errors[lane] = own[lane] - Self.step(own[lane], inverses[lane]) * scales[lane]
                costs[lane] += errors[lane] * errors[lane] * cost
            }
            guard let feedback else { continue }
            let factors = feedback.factors + column * feedback.stride
            for later in column + 1..<Self.group {
                let factor = factors[later], trial = trials + later * lanes
                for lane in 0..<lanes { trial[lane] += errors[lane] * factor }
            }
        }
    }

    private static func largest(_ weights: UnsafePointer<Float>, _ count: Int) -> Float {
        var largest: Float = 0
        for index in 0..<count { largest = max(largest, abs(weights[index])) }
        return largest
    }

    /// weight / scale to the nearest integer in -8...7, ties to even.
    @inline(__always)
    static func step(_ weight: Float, _ inverse: Float) -> Float {
        let low = weight * inverse < -8 ? -8 : weight * inverse
        return Rounding.nearest(low > 7 ? 7 : low)
    }
}
