import Foundation
import Testing

@testable import Rudolph

/// Whole tasks against what the reference made of the same pictures and texts.
@Suite struct GoldenTaskTests {
    @Test func picturesBecomeTheReferencesTokens() throws {
        let session = try Demo.session()
        for image in try Golden.images() {
            let tokens = try session.imageTokens(of: try Golden.picture(image.png))
            let different = zip(tokens, image.indices).count { $0 != $1 }
            #expect(tokens.count == image.indices.count)
            #expect(different == 0, "\(image.png), whose closest two codes are \(image.min_top2_margin_vq) apart")
        }
    }

    /// The logits of the codes, before the best one is chosen: sums of floats in another order than the reference's, through all layers,
    /// and no more than the last three bits of the largest may be others. With products of integers they are within 2^-11 of it.
    @Test(arguments: [(ImageArithmetic.winograd, 8 * Float.ulpOfOne), (.fast, 0x1p-11)])
    func logitsOfCodesEqualTheReference(arithmetic: ImageArithmetic, bound: Float) throws {
        let session = try Session(try Demo.session().model, threads: 1, imageArithmetic: arithmetic)
        let (codes, tokens) = (session.model.configuration.imageTokenizer.codes, session.model.configuration.imageLength)
        for (name, image) in zip(["img00_vq_logits.npy", "img01_vq_logits.npy"], try Golden.images()) {
            let expected = try Golden.Array(name)
            #expect(expected.shape == [codes, 8, 8])
            _ = try session.imageTokens(of: try Golden.picture(image.png))
            let logits = try #require(session.encoder).buffers.scratch
            let values = try expected.floats()
            let largest = values.reduce(0) { max($0, abs($1)) }
            let differences = values.enumerated().map { index, value in
                abs(logits[index % tokens * paddedToPanel(codes) + index / tokens] - value) / largest
            }
            let worst = differences.reduce(0, max)
            print("\(arithmetic), \(image.png): largest difference of \(codes) x \(tokens) logits of codes: \(worst) of the largest logit")
            #expect(worst <= bound, "\(name)")
        }
    }

    @Test func greedyCaptionsEqualTheReference() throws {
        let session = try Demo.session()
        let captioner = Captioner(session)
        for image in try Golden.images() {
            let picture = try Golden.picture(image.png)
            for (left, template, ids, text) in [
                ("", nil, image.caption_ids, image.caption), ("", "на картинке", image.template_caption_ids, image.template_caption),
                ("что на картинке?", nil, image.vqa_ids, image.vqa), ("какого цвета предмет?", nil, image.colour_ids, image.colour),
            ] as [(String, String?, [Int], String)] {
                var options = CaptionOptions.greedy
                options.leftText = left
                options.template = template
                let captions = try captioner.captions(of: picture, options)
                #expect(captions.count == 1)
                #expect(captions.first?.ids == ids, "\(image.png) \(left) \(template ?? "")")
                #expect(captions.first?.text == text, "\(image.png) \(left) \(template ?? "")")
            }
        }
    }

    /// The same questions through `Asker`, whose task tokens are the caller's.
    @Test func greedyAnswersEqualTheReference() throws {
        let asker = Asker(try Demo.session())
        var options = AskOptions()
        options.leftTaskToken = "<LT_I2T>"
        options.rightTaskToken = "<RT_I2T>"
        for image in try Golden.images() {
            let answer = try asker.ask("что на картинке?", tokens: image.indices, options).first
            #expect(answer?.ids == image.vqa_ids, "\(image.png)")
            let colour = try asker.ask("Какого цвета предмет? ", tokens: image.indices, options).first
            #expect(colour?.ids == image.colour_ids, "\(image.png)")
        }
    }

    @Test func greedyDrawingsEqualTheReference() throws {
        let drawer = Drawer(try Demo.session())
        var options = DrawOptions()
        options.sampling = .greedy
        for drawing in try Golden.drawings() {
            let tokens = try drawer.draw(drawing.prompt, options).first?.tokens
            #expect(tokens == drawing.indices, "\(drawing.prompt)")
        }
    }

    /// The best of many drawings are those that the ranker puts first; equal pictures keep their order.
    @Test func rankedPicturesAreKnownByTheirPlaces() throws {
        let session = try Demo.session()
        var options = DrawOptions()
        options.seed = 3
        options.count = 4
        let drawn = try Drawer(session).draw("красное яблоко", options)
        let ranked = try Ranker(session).ranked(drawn.map(\.tokens), by: "красное яблоко")
        #expect(ranked.map(\.index).sorted() == [0, 1, 2, 3] && ranked.map(\.score) == ranked.map(\.score).sorted())
        options.count = 2
        options.candidates = 4
        let best = try Drawer(session).draw("красное яблоко", options)
        #expect(best.map(\.tokens) == ranked.prefix(2).map { drawn[$0.index].tokens })
        #expect(best.map(\.score) == ranked.prefix(2).map(\.score))
        #expect(best.map(\.textPerplexity) == ranked.prefix(2).map(\.textPerplexity))
        #expect(best.map(\.imagePerplexity) == ranked.prefix(2).map(\.imagePerplexity))

        let image = try #require(try Golden.images().first)
        let other = drawn[ranked[0].index].tokens
        let equal = try Ranker(session).ranked([image.indices, other, image.indices], by: image.caption)
        #expect(equal.map(\.index) == [0, 2, 1] && equal.allSatisfy(\.score.isFinite), "\(equal)")
    }

    @Test func tokensBecomeTheReferencesPixels() throws {
        let session = try Demo.session()
        var pictures = try Golden.images().map { ($0.png.replacing(".png", with: "_recon.png"), $0.indices) }
        pictures += try Golden.drawings().map { ($0.png, $0.indices) }
        for (name, tokens) in pictures {
            let expected = try Golden.picture(name)
            let found = try session.image(of: tokens)
            #expect(found.width == expected.width && found.height == expected.height)
            let largest = zip(found.pixels, expected.pixels).map { abs(Int($0) - Int($1)) }.max()
            #expect(largest ?? .max <= 1, "\(name)")
        }
        for (name, image) in zip(["img00_decoded.npy", "img01_decoded.npy"], try Golden.images()) {
            let expected = try Golden.Array(name)
            let values = try expected.floats()
            #expect(expected.shape == [3, 64, 64])
            let pixels = try session.image(of: image.indices).pixels
            // Bytes are cut off, not rounded, as torchvision does.
            let differences = pixels.enumerated().map { abs(Int($1) - Int(values[$0 % 3 * 4096 + $0 / 3] * 255)) }
            #expect(differences.max() ?? .max <= 1 && 100 * differences.reduce(0, +) < pixels.count, "\(name): \(differences.reduce(0, +)) others")
        }
    }

    /// Keeping everything draws the picture that was given; keeping half of it keeps that half.
    @Test func imagePromptsAreKept() throws {
        let session = try Demo.session()
        let image = try #require(try Golden.images().first)
        let picture = try Golden.picture(image.png)
        var options = DrawOptions()
        options.seed = 5
        options.count = 2
        options.prompt = try ImagePrompt(picture, keeping: .init(up: 8), in: session)
        for drawing in try Drawer(session).draw(image.caption, options) { #expect(drawing.tokens == image.indices) }
        options.prompt = try ImagePrompt(picture, keeping: .init(up: 2, left: 3), in: session)
        for drawing in try Drawer(session).draw(image.caption, options) {
            for (index, token) in drawing.tokens.enumerated() where index / 8 < 2 || index % 8 < 3 {
                #expect(token == image.indices[index], "token \(index)")
            }
            #expect(drawing.tokens != image.indices)
        }
        let white = try RGBImage(width: 64, height: 64, pixels: [UInt8](repeating: 255, count: 64 * 64 * 3))
        #expect(try ImagePrompt(picture, keepingWhiteOf: white, in: session).tokens == image.indices)
        let black = try RGBImage(width: 64, height: 64, pixels: [UInt8](repeating: 0, count: 64 * 64 * 3))
        #expect(try ImagePrompt(picture, keepingWhiteOf: black, in: session).tokens.allSatisfy { $0 == nil })
        let small = try RGBImage(width: 1, height: 1, pixels: [0, 0, 0])
        #expect(message { _ = try ImagePrompt(picture, keepingWhiteOf: small, in: session) }.hasPrefix("a mask of 1 x 1 pixels"))
    }
}
