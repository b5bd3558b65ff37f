import CRudolph
import Foundation
import Testing

@testable import Rudolph

/// Weights that make results infinite or no numbers: every task says so and names the file. (`rudolph-quant verify` finds all damage.)
@Suite struct DamagedWeightsTests {
    typealias Scratch = ModelFileTests.Scratch
    typealias Task = (name: String, run: () throws -> Void)

    let image: Golden.Image
    let picture: RGBImage

    init() throws {
        image = try #require(try Golden.images().first)
        picture = try Golden.picture(image.png)
    }

    /// A session on a demo model whose tensor bytes all are `byte`.
    func session(_ type: WeightType, filledWith byte: UInt8) throws -> (Session, Scratch) {
        let file = try Data(contentsOf: URL(filePath: Demo.path(type)))
        let start = ModelFileTests.Header(file).size
        let scratch = try Scratch(file.prefix(start) + Data(repeating: byte, count: file.count - start))
        return (try Session(try Model(path: scratch.path), threads: 2), scratch)
    }

    /// A session on a demo model of f16 weights with another number in a tensor of floats.
    func session(_ tensor: String, _ index: Int, _ value: Float) throws -> (Session, Scratch) {
        var file = try Data(contentsOf: URL(filePath: Demo.path(.f16)))
        let range = try GGUF(MappedFile(path: Demo.path(.f16))).tensor(named: tensor).range
        let place = range.lowerBound + 4 * index
        try #require(place + 4 <= range.upperBound)
        withUnsafeBytes(of: value.bitPattern.littleEndian) { file.replaceSubrange(place..<(place + 4), with: $0) }
        let scratch = try Scratch(file)
        return (try Session(try Model(path: scratch.path), threads: 1), scratch)
    }

    /// What takes text logits.
    func textTasks(_ session: Session) -> [Task] {
        let tokens = image.indices
        var captioning = CaptionOptions()
        captioning.candidates = 3
        captioning.seed = 1
        var asking = AskOptions()
        asking.sampling = .text
        var completing = CompleteOptions()
        completing.candidates = 2
        var choosing = completing
        choosing.allowedTokens = [109, 341]
        return [
            ("captions", { [captioning] in _ = try Captioner(session).captions(tokens: tokens, captioning) }),
            ("greedy caption", { _ = try Captioner(session).captions(tokens: tokens, .greedy) }),
            ("answer", { [asking] in _ = try Asker(session).ask("что на картинке?", tokens: tokens, asking) }),
            ("greedy answer", { _ = try Asker(session).ask("что на картинке?") }),
            ("answers", { _ = try Asker(session).askEach([("что?", tokens, 1), ("кто?", nil, 2)]) }),
            ("continuation", { [completing] in _ = try Completer(session).complete("кошка", completing) }),
            ("continuation of few tokens", { [choosing] in _ = try Completer(session).complete("кошка", choosing) }),
            ("classes", { _ = try Classifier(session).classify(tokens: tokens, as: ["кошка", "собака"]) }),
            ("ranked pictures", { _ = try Ranker(session).ranked([tokens, tokens], by: "яблоко") }),
            ("logits", { try session.logits(of: [2, 3, 4]) { _, _ in } }),
        ]
    }

    /// What takes logits of image tokens.
    func imageTasks(_ session: Session) -> [Task] {
        func drawing(_ change: (inout DrawOptions) -> Void) -> () throws -> Void {
            var options = DrawOptions()
            options.seed = 1
            change(&options)
            return { [options] in _ = try Drawer(session).draw("кошка", options) }
        }
        return [
            ("drawing", drawing { _ in }),
            ("greedy drawing", drawing { $0.sampling = .greedy }),
            ("best of drawings", drawing { $0.candidates = 2 }),
            ("drawing guided by probabilities", drawing { $0.guidance = Guidance() }),
            ("drawing guided by logits", drawing { $0.guidance = Guidance(mixing: .logits) }),
            ("guided greedy drawing", drawing { ($0.guidance, $0.sampling) = (Guidance(), .greedy) }),
            ("ranked pictures", { [tokens = image.indices] in _ = try Ranker(session).ranked([tokens, tokens], by: "яблоко") }),
        ]
    }

    /// What goes through the image tokenizer.
    func pictureTasks(_ session: Session) -> [Task] {
        [
            ("image tokens", { [picture] in _ = try session.imageTokens(of: picture) }),
            ("image", { [tokens = image.indices] in _ = try session.image(of: tokens) }),
            ("caption of a picture", { [picture] in _ = try Captioner(session).captions(of: picture, .greedy) }),
            ("classes of a picture", { [picture] in _ = try Classifier(session).classify(picture, as: ["кошка", "собака"]) }),
            ("image prompt", { [picture] in _ = try ImagePrompt(picture, keeping: .init(up: 2), in: session) }),
        ]
    }

    func expectRefusal(_ tasks: [Task], _ scratch: Scratch, _ comment: String) {
        for task in tasks {
            let message = message { try task.run() }
            #expect(message.hasPrefix("\(scratch.path): ") && message.contains("are not finite"), "\(comment), \(task.name): \(message)")
        }
    }

    /// Not-a-numbers, and numbers so large that sums overflow.
    @Test(arguments: Demo.types, [0xff, 0x7b] as [UInt8])
    func everyTaskRefusesThem(type: WeightType, byte: UInt8) throws {
        let (session, scratch) = try self.session(type, filledWith: byte)
        expectRefusal(textTasks(session) + imageTasks(session) + pictureTasks(session), scratch, "\(type.name) of \(byte)")
    }

    /// Zeros are numbers: nothing sensible comes out, but something does.
    @Test(arguments: Demo.types)
    func zerosAreNumbers(type: WeightType) throws {
        let (session, _) = try self.session(type, filledWith: 0)
        for task in textTasks(session) + imageTasks(session) + pictureTasks(session) { try task.run() }
    }

    /// A single logit, which would never or always be drawn, at the first, an inner and the last place.
    @Test(arguments: [Float.nan, -.nan, .infinity, -.infinity])
    func everyLogitCounts(value: Float) throws {
        for index in [0, 1001, 2063] {
            let (session, scratch) = try self.session("to_logits.1.text.bias", index, value)
            expectRefusal(textTasks(session), scratch, "text logit \(index) of \(value)")
            // What needs no text logits does not mind.
            _ = try Drawer(session).draw("кошка")
            #expect(try session.imageTokens(of: picture) == image.indices)
        }
        for index in [0, 500, 1023] {
            let (session, scratch) = try self.session("to_logits.1.image.bias", index, value)
            expectRefusal(imageTasks(session), scratch, "image logit \(index) of \(value)")
            #expect(try Captioner(session).captions(tokens: image.indices, .greedy).first?.ids == image.caption_ids)
        }
        let (session, scratch) = try self.session("vqgan.quantize.proj.bias", 1023, value)
        expectRefusal(pictureTasks(session).filter { $0.name != "image" }, scratch, "code of \(value)")
        _ = try session.image(of: image.indices)
    }

    @Test func drawnPixelsCount() throws {
        let (session, scratch) = try self.session("vqgan.decoder.conv_out.bias", 2, .nan)
        expectRefusal([("image", { _ = try session.image(of: image.indices) })], scratch, "blue")
        #expect(try session.imageTokens(of: picture) == image.indices)
    }

    /// Where the logits of a position are not asked for, damage does not matter, and elsewhere the position is named.
    @Test func thePositionIsNamed() throws {
        let (session, scratch) = try self.session("r_text_pos_embeddings.weight", 0, .nan)
        let start = session.model.configuration.rightTextStart
        #expect(
            message { _ = try Captioner(session).captions(tokens: image.indices, .greedy) }.hasPrefix(
                "\(scratch.path): the logits at position \(start + 1) are not finite"))
        _ = try Drawer(session).draw("кошка")
        // The first of several, whichever worker finds it.
        for threads in 1...3 {
            let ranker = Ranker(try Session(session.model, threads: threads))
            #expect(
                message { _ = try ranker.ranked([image.indices], by: "красное яблоко") }.hasPrefix(
                    "\(scratch.path): the logits at position \(start) are not finite"))
        }
    }

    @Test func programsInCAreTold() throws {
        let (_, scratch) = try self.session(.f16, filledWith: 0xff)
        var model: OpaquePointer?
        var session: OpaquePointer?
        var error = [CChar](repeating: 0, count: 512)
        #expect(rudolph_model_open(scratch.path, &model, &error, error.count) == RUDOLPH_OK.code)
        #expect(rudolph_session_open(model, 1, &session, &error, error.count) == RUDOLPH_OK.code)
        defer {
            rudolph_session_close(session)
            rudolph_model_close(model)
        }
        func check(_ name: String, _ status: Int32) {
            let message = String(decoding: error.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
            #expect(status == RUDOLPH_INVALID_FILE.code && message.hasPrefix(scratch.path), "\(name): \(message)")
            #expect(message.contains("are not finite"), "\(name): \(message)")
        }
        var text = [CChar](repeating: 0, count: 256), pixels = [UInt8](repeating: 0, count: 64 * 64 * 3)
        check("caption", rudolph_caption(session, picture.pixels, 64, 64, nil, &text, text.count, &error, error.count))
        check("ask", rudolph_ask(session, "что?", nil, 0, 0, nil, &text, text.count, &error, error.count))
        check("draw", rudolph_draw(session, "кошка", nil, &pixels, pixels.count, &error, error.count))
        #expect(text[0] == 0 && pixels.allSatisfy { $0 == 0 })
    }

    @Test func finiteNumbersAreTold() {
        let finite: [Float] = [0, -0.0, 1, -1, .greatestFiniteMagnitude, -.greatestFiniteMagnitude, .leastNonzeroMagnitude]
        for count in 0..<40 {
            let values = (0..<count).map { finite[$0 % finite.count] }
            #expect(areFinite(values, count))
            for place in 0..<count {
                for value in [Float.nan, -.nan, .signalingNaN, .infinity, -.infinity] {
                    var damaged = values
                    damaged[place] = value
                    #expect(!areFinite(damaged, count), "\(value) at \(place) of \(count)")
                }
            }
        }
    }
}
