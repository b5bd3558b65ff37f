import Testing

import Rudolph

/// Winograd's transform against direct products.
@Suite struct ImageArithmeticTests {
    @Test(arguments: [ImageArithmetic.winograd, .fast])
    func sameTokens(arithmetic: ImageArithmetic) throws {
        let model = try Demo.session().model
        let fast = try Session(model, threads: 1, imageArithmetic: arithmetic)
        let direct = try Session(model, threads: 1, imageArithmetic: .direct)
        for image in try Golden.images() {
            let picture = try Golden.picture(image.png)
            let tokens = try direct.imageTokens(of: picture)
            let differing = zip(try fast.imageTokens(of: picture), tokens).filter { $0 != $1 }.count
            // Where the two best codes of some position are as good as equal, rounding may choose between them.
            #expect(differing <= (image.min_top2_margin_vq > 1e-3 ? 0 : 1), "\(image.png)")
        }
    }

    @Test(arguments: [ImageArithmetic.winograd, .fast])
    func samePictures(arithmetic: ImageArithmetic) throws {
        let model = try Demo.session().model
        let fast = try Session(model, threads: 1, imageArithmetic: arithmetic)
        let direct = try Session(model, threads: 1, imageArithmetic: .direct)
        for image in try Golden.images() {
            let expected = try direct.image(of: image.indices).pixels
            let pixels = try fast.image(of: image.indices).pixels
            var squares = 0
            for (pixel, other) in zip(pixels, expected) { squares += (Int(pixel) - Int(other)) * (Int(pixel) - Int(other)) }
            // 60 dB: 255^2 / 10^6. Only roundings to a byte may differ, by one.
            #expect(Double(squares) / Double(pixels.count) < 0.065, "\(image.png)")
        }
    }
}
