import CRudolph
import Foundation
import Testing

@testable import Rudolph

/// What rudolph.h has for texts and classes, and limits of texts.
@Suite final class CInterfaceTextTests {
    /// What a call gave: its status, its text or numbers, and its message.
    typealias TextResult = (status: Int32, text: String, message: String)
    typealias ClassResult = (status: Int32, perplexities: [Float], message: String)

    static let untouched: CChar = 1
    static let error = RUDOLPH_INVALID_ARGUMENT.code

    let session: OpaquePointer
    let image: Golden.Image
    let picture: RGBImage

    init() throws {
        let image = try #require(try Golden.images().first)
        picture = try Golden.picture(image.png)
        self.image = image
        session = OpaquePointer(Unmanaged.passRetained(try Demo.session()).toOpaque())
    }

    deinit { rudolph_session_close(session) }

    /// What a C program sees of a buffer, nothing where the library left it alone.
    func string(_ buffer: [CChar]) -> String {
        String(decoding: buffer.prefix { $0 != 0 && $0 != Self.untouched }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    func caption(_ options: rudolph_caption_options) -> TextResult { caption(options, rgb: picture.pixels) }

    func caption(_ options: rudolph_caption_options, rgb: [UInt8]?) -> TextResult {
        var options = options
        var text = [CChar](repeating: Self.untouched, count: 256), message = [CChar](repeating: 0, count: 512)
        let status = rudolph_caption(session, rgb, 64, 64, &options, &text, text.count, &message, message.count)
        return (status, string(text), string(message))
    }

    func ask(_ question: String, _ options: rudolph_ask_options) -> TextResult {
        var options = options
        var text = [CChar](repeating: Self.untouched, count: 256), message = [CChar](repeating: 0, count: 512)
        let status = rudolph_ask(session, question, nil, 0, 0, &options, &text, text.count, &message, message.count)
        return (status, string(text), string(message))
    }

    func complete(_ beginning: String?, _ options: rudolph_complete_options?, room: Int = 256) -> TextResult {
        var text = [CChar](repeating: Self.untouched, count: room + 1), message = [CChar](repeating: 0, count: 512)
        let status: Int32
        if var options {
            status = rudolph_complete(session, beginning, &options, &text, room, &message, message.count)
        } else {
            status = rudolph_complete(session, beginning, nil, &text, room, &message, message.count)
        }
        #expect(text[room] == Self.untouched, "written past the end")
        return (status, string(text), string(message))
    }

    /// - Parameter count: of classes; nil for as many as there are.
    func classify(_ names: [String], count: Int32? = nil, _ options: rudolph_classify_options = rudolph_classify_options()) -> ClassResult {
        classify(names, count: count, options, rgb: picture.pixels)
    }

    func classify(_ names: [String], count: Int32? = nil, _ options: rudolph_classify_options, rgb: [UInt8]?) -> ClassResult {
        var options = options
        let copies = names.map { strdup($0) }
        let pointers = copies.map { UnsafePointer<CChar>($0) }
        var found = [Float](repeating: -1, count: names.count + 1), message = [CChar](repeating: 0, count: 512)
        let status = rudolph_classify(
            session, rgb, 64, 64, pointers, count ?? Int32(names.count), &options, &found, &message, message.count)
        for copy in copies { free(copy) }
        return (status, found, string(message))
    }

    /// Programs that were compiled when there were no fields for limits have zeros in their place.
    @Test func structuresKeepTheirSizes() {
        #expect(MemoryLayout<rudolph_session_options>.size == 72)
        #expect(MemoryLayout<rudolph_caption_options>.size == 128)
        #expect(MemoryLayout<rudolph_caption_options>.offset(of: \.max_tokens) == 64)
        #expect(MemoryLayout<rudolph_ask_options>.size == 120)
        #expect(MemoryLayout<rudolph_ask_options>.offset(of: \.max_tokens) == 56)
        #expect(MemoryLayout<rudolph_draw_options>.size == 112)
        #expect(MemoryLayout<rudolph_complete_options>.size == 120)
        #expect(MemoryLayout<rudolph_complete_options>.offset(of: \.partial) == 56)
        #expect(MemoryLayout<rudolph_classify_options>.size == 96)
    }

    @Test func reservedFieldsMustBeZero() {
        let refused = (Self.error, "", "reserved fields of the options are not zero")
        var captions = rudolph_caption_options()
        rudolph_caption_options_default(&captions)
        captions.reserved.0 = 1
        #expect(caption(captions) == refused)
        var questions = rudolph_ask_options()
        rudolph_ask_options_default(&questions)
        questions.reserved.3 = .max
        #expect(ask("что?", questions) == refused)
        var texts = rudolph_complete_options()
        rudolph_complete_options_default(&texts)
        texts.reserved_integer = 1
        #expect(complete("кот", texts) == refused)
        texts.reserved_integer = 0
        texts.reserved.5 = 1
        #expect(complete("кот", texts) == refused)
        var classes = rudolph_classify_options()
        classes.reserved.5 = 1
        #expect(classify(["кот"], classes) == (Self.error, [-1, -1], "reserved fields of the options are not zero"))
        classes.reserved.5 = 0
        classes.reserved_integer = 1
        #expect(classify(["кот"], classes) == (Self.error, [-1, -1], "reserved fields of the options are not zero"))
    }

    @Test func captionsAreCutToALimit() throws {
        var options = rudolph_caption_options()
        rudolph_caption_options_default(&options)
        #expect(options.max_tokens == 0)
        (options.greedy, options.template_text, options.max_tokens) = (1, nil, 3)
        var settings = CaptionOptions.greedy
        settings.maximumTokens = 3
        let expected = try Captioner(try Demo.session()).captions(tokens: image.indices, settings).first?.text ?? ""
        #expect(caption(options) == (0, expected, "") && expected.count < image.caption.count)
        options.max_tokens = 2
        let full = caption(options)
        #expect(full.status == Self.error && full.text.isEmpty && full.message.contains("leaves no room"), "\(full)")
        options.max_tokens = 4096
        #expect(caption(options) == (0, image.caption, ""))
    }

    @Test func answersAreCutToALimit() throws {
        var options = rudolph_ask_options()
        rudolph_ask_options_default(&options)
        #expect(options.max_tokens == 0)
        options.max_tokens = 3
        var settings = AskOptions()
        settings.maximumTokens = 3
        let expected = try Asker(try Demo.session()).ask("что это?", settings).first?.text ?? ""
        #expect(ask("что это?", options) == (0, expected, ""))
        options.max_tokens = -1
        #expect(ask("что это?", options) == (Self.error, "", "max_tokens is -1, expected 0 or more"))
    }

    @Test func continuationsEqualThoseOfSwift() throws {
        var options = rudolph_complete_options()
        rudolph_complete_options_default(&options)
        rudolph_complete_options_default(nil)
        #expect(options.candidates == 48 && options.top_k == 64 && options.max_tokens == 0 && options.task == nil && options.seed == 0)
        let swift = Completer(try Demo.session())
        var settings = CompleteOptions()
        settings.seed = 0
        let whole = try swift.complete("красный", settings).first?.text ?? ""
        #expect(whole.hasPrefix("красный"))
        #expect(complete("Красный ", options) == (0, whole, "") && complete("Красный ", nil) == (0, whole, ""))
        let cut = "the text takes \(whole.utf8.count + 1) bytes, the buffer has 4"
        #expect(complete("красный", options, room: 4) == (RUDOLPH_NO_ROOM.code, "к", cut))
        (options.candidates, options.top_k, options.max_tokens) = (1, 1, 6)
        (settings.candidates, settings.sampling, settings.maximumTokens) = (1, .greedy, 6)
        let short = try swift.complete("", settings).first?.text ?? ""
        #expect(complete("", options) == (0, short, ""))
    }

    @Test func badBeginningsAreRefused() {
        var options = rudolph_complete_options()
        rudolph_complete_options_default(&options)
        #expect(complete(nil, options) == (Self.error, "", "beginning is NULL"))
        options.candidates = 0
        #expect(complete("кот", options) == (Self.error, "", "0 candidates, expected 1 to 4096"))
        options.candidates = 1
        "<X>".withCString {
            options.task = $0
            #expect(complete("кот", options).message.contains("has no task token <X>"))
        }
        options.task = nil
        options.progress = { _, _, _, _ in 0 }
        #expect(complete("кот", options) == (RUDOLPH_STOPPED.code, "", "stopped"))
    }

    @Test func classesEqualThoseOfSwift() throws {
        let names = ["кошка", image.caption, "гроза"]
        let swift = Classifier(try Demo.session())
        var settings = ClassifyOptions()
        let classes = try swift.classify(tokens: image.indices, as: names, settings)
        let plain = classify(names)
        #expect(plain.status == 0 && plain.message.isEmpty && plain.perplexities.last == -1, "\(plain)")
        #expect(plain.perplexities.prefix(3).sorted() == classes.map(\.perplexity))
        #expect(zip(names, plain.perplexities).min { $0.1 < $1.1 }?.0 == classes.first?.name)

        settings.leftTemplate = "это {}?"
        settings.rightTemplate = "на картинке {}"
        let filled = try swift.classify(tokens: image.indices, as: names, settings).map(\.perplexity)
        let (left, right) = (strdup(settings.leftTemplate), strdup(settings.rightTemplate))
        defer {
            free(left)
            free(right)
        }
        var options = rudolph_classify_options()
        options.left_template = UnsafePointer(left)
        options.right_template = UnsafePointer(right)
        #expect(classify(names, options).perplexities.prefix(3).sorted() == filled)
        options.progress = { stage, _, _, _ in stage == RUDOLPH_RANKING.code ? 0 : 1 }
        #expect(classify(names, options) == (RUDOLPH_STOPPED.code, [-1, -1, -1, -1], "stopped"))
    }

    @Test func missingClassesAreRefused() {
        rudolph_classify_options_default(nil)
        for count: Int32 in [0, -1] { #expect(classify(["кот"], count: count) == (Self.error, [-1, -1], "\(count) classes, expected at least one")) }
        var found: Float = -1
        var message = [CChar](repeating: 0, count: 512)
        let missing: [UnsafePointer<CChar>?] = [nil]
        let pixels = picture.pixels
        #expect(rudolph_classify(session, pixels, 64, 64, missing, 1, nil, &found, &message, 512) == Self.error)
        #expect(string(message) == "classes[0] is NULL")
        #expect(rudolph_classify(session, pixels, 64, 64, nil, 1, nil, &found, &message, 512) == Self.error)
        #expect(string(message) == "classes is NULL")
        #expect(rudolph_classify(session, nil, 64, 64, missing, 1, nil, &found, &message, 512) == Self.error)
        #expect(string(message) == "rgb is NULL" && found == -1)
    }

    @Test func taskTokensAreEnumerated() throws {
        let model = try Demo.session().model
        let handle = OpaquePointer(Unmanaged.passUnretained(model).toOpaque())
        let count = rudolph_task_token_count(handle)
        var message = [CChar](repeating: 0, count: 512)
        let names = (0..<count).map { index in
            var text = [CChar](repeating: 0, count: 32)
            #expect(rudolph_task_token(handle, index, &text, text.count, &message, message.count) == 0)
            return string(text)
        }
        #expect(names == model.configuration.taskTokens.map(\.name) && names.contains("<LT_I2T>"))
        var text = [CChar](repeating: Self.untouched, count: 32)
        for index in [-1, count, .max] {
            #expect(rudolph_task_token(handle, index, &text, text.count, &message, message.count) == Self.error)
            #expect(string(message) == "task token \(index), expected 0 to \(count - 1)" && string(text).isEmpty)
        }
        #expect(rudolph_task_token(nil, 0, &text, text.count, &message, message.count) == Self.error)
        #expect(rudolph_task_token(handle, 0, &text, 4, &message, message.count) == RUDOLPH_NO_ROOM.code)
        #expect(string(text).utf8.count == 3)
        #expect(rudolph_task_token_count(nil) == 0 && rudolph_image_length(nil) == 0)
        #expect(rudolph_image_length(handle) == 64)
    }

    @Test func aPictureIsEncodedOnce() throws {
        var tokens = [Int32](repeating: -1, count: 65), message = [CChar](repeating: 0, count: 512)
        func encode(_ rgb: [UInt8]?, count: Int32) -> Int32 { rudolph_encode(session, rgb, 64, 64, &tokens, count, &message, message.count) }
        #expect(encode(picture.pixels, count: 63) == RUDOLPH_NO_ROOM.code && tokens.allSatisfy { $0 == -1 })
        #expect(string(message) == "the picture has 64 tokens, the buffer has room for 63")
        #expect(encode(nil, count: 64) == Self.error && string(message) == "rgb is NULL")
        #expect(rudolph_encode(session, picture.pixels, 64, 64, nil, 64, &message, 512) == Self.error && string(message) == "tokens is NULL")
        #expect(rudolph_encode(session, picture.pixels, 0, 64, &tokens, 64, &message, 512) == Self.error)
        #expect(encode(picture.pixels, count: 64) == RUDOLPH_OK.code)
        #expect(tokens == image.indices.map { Int32($0) } + [-1])

        var captions = rudolph_caption_options(), questions = rudolph_ask_options(), classes = rudolph_classify_options()
        rudolph_caption_options_default(&captions)
        rudolph_ask_options_default(&questions)
        (captions.greedy, captions.template_text) = (1, nil)
        let names = ["кошка", image.caption]
        let expected = classify(names)
        tokens.withUnsafeBufferPointer { tokens in
            (captions.image_tokens, captions.image_token_count) = (tokens.baseAddress, 64)
            (questions.image_tokens, questions.image_token_count) = (tokens.baseAddress, 64)
            (classes.image_tokens, classes.image_token_count) = (tokens.baseAddress, 64)
            #expect(caption(captions, rgb: nil) == (0, image.caption, ""))
            "<LT_I2T>".withCString { left in
                "<RT_I2T>".withCString { right in
                    (questions.left_task, questions.right_task) = (left, right)
                    #expect(ask("что на картинке?", questions) == (0, image.vqa, ""))
                }
            }
            #expect(classify(names, classes, rgb: nil) == expected && expected.status == 0)
            #expect(caption(captions) == (Self.error, "", "rgb and image_tokens are given, expected one picture"))
            for (count, found) in [(63, "63 image tokens, expected 64"), (-1, "-1 image tokens, expected 0 or more")] {
                captions.image_token_count = Int32(count)
                #expect(caption(captions, rgb: nil) == (Self.error, "", found))
            }
            (captions.image_token_count, questions.image_token_count) = (65, 65)
            #expect(caption(captions, rgb: nil) == (Self.error, "", "65 image tokens, expected 64"))
        }
        captions.image_tokens = nil
        #expect(caption(captions, rgb: nil) == (Self.error, "", "rgb is NULL"))
    }

    /// What callbacks were told.
    struct Told {
        var pieces: [String] = []
        var candidates: [(text: String, count: Int32, score: Float)] = []
    }

    static let partial: rudolph_partial_text = { piece, data in
        guard let piece else { return }
        data?.assumingMemoryBound(to: Told.self).pointee.pieces.append(String(cString: piece))
    }

    static let candidate: rudolph_candidate = { text, count, score, data in
        guard let text else { return }
        data?.assumingMemoryBound(to: Told.self).pointee.candidates.append((String(cString: text), count, score))
    }

    @Test func callbacksAreToldTextsAndCandidates() throws {
        var told = Told()
        var captions = rudolph_caption_options(), questions = rudolph_ask_options(), texts = rudolph_complete_options()
        rudolph_caption_options_default(&captions)
        rudolph_ask_options_default(&questions)
        rudolph_complete_options_default(&texts)
        withUnsafeMutablePointer(to: &told) { told in
            for candidates: Int32 in [1, 6] {
                (captions.partial, captions.candidate, captions.user_data) = (Self.partial, Self.candidate, UnsafeMutableRawPointer(told))
                (questions.partial, questions.candidate, questions.user_data) = (Self.partial, Self.candidate, UnsafeMutableRawPointer(told))
                (texts.partial, texts.candidate, texts.user_data) = (Self.partial, Self.candidate, UnsafeMutableRawPointer(told))
                (captions.candidates, questions.candidates, texts.candidates) = (candidates, candidates, candidates)
                (captions.temperature, questions.top_k, texts.temperature) = (3, 32, 3)
                for (name, run) in [
                    ("caption", { self.caption(captions) }), ("answer", { self.ask("что это?", questions) }),
                    ("text", { self.complete("кот", texts) }),
                ] as [(String, () -> TextResult)] {
                    told.pointee = Told()
                    let found = run()
                    #expect(found.status == 0 && told.pointee.candidates.first?.text == found.text, "\(name): \(told.pointee)")
                    #expect(told.pointee.candidates.reduce(0) { $0 + $1.count } <= candidates && told.pointee.pieces.count > 1)
                    let isKnown = told.pointee.candidates.contains { $0.text == told.pointee.pieces.joined() }
                    #expect(isKnown, "\(name): \(told.pointee)")
                    let scores = told.pointee.candidates.map(\.score)
                    #expect(name == "answer" ? scores.allSatisfy { $0 == 0 } : scores == scores.sorted(), "\(name): \(scores)")
                    if name == "text" { #expect(scores.allSatisfy { $0 >= 1 }) }
                }
            }
        }
    }

    @Test func longPiecesComeInSeveralCalls() throws {
        var told = Told()
        var options = rudolph_complete_options()
        rudolph_complete_options_default(&options)
        (options.candidates, options.top_k, options.partial) = (1, 1, Self.partial)
        let beginning = "красное яблоко"
        withUnsafeMutablePointer(to: &told) {
            options.user_data = UnsafeMutableRawPointer($0)
            let found = complete(beginning, options)
            #expect(found.status == 0 && $0.pointee.pieces.joined() == found.text, "\(found) \($0.pointee)")
        }
        // Of 2, 3 and 4 bytes, cut between characters.
        let buffer = PieceBuffer()
        for character in ["ж", "〇", "🍎", "ab"] {
            told = Told()
            let text = String(repeating: character, count: 700)
            withUnsafeMutablePointer(to: &told) { buffer.handOver(text[...], to: Self.partial, UnsafeMutableRawPointer($0)) }
            #expect(told.pieces.joined() == text && told.pieces.count > 3 && told.pieces.allSatisfy { $0.utf8.count < 256 })
        }
    }

    @Test func optionsAreCheckedBeforeThePicture() {
        struct Steps { var count = 0 }
        var steps = Steps()
        var options = rudolph_caption_options()
        rudolph_caption_options_default(&options)
        options.candidates = 0
        options.progress = { _, _, _, data in
            data?.assumingMemoryBound(to: Steps.self).pointee.count += 1
            return 1
        }
        withUnsafeMutablePointer(to: &steps) {
            options.user_data = UnsafeMutableRawPointer($0)
            #expect(caption(options) == (Self.error, "", "0 candidates, expected 1 to 4096"))
        }
        #expect(steps.count == 0)
    }
}
