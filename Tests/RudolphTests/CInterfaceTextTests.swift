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
    static let error = RUDOLPH_ERROR.code

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

    func caption(_ options: rudolph_caption_options) -> TextResult {
        var options = options
        var text = [CChar](repeating: Self.untouched, count: 256), message = [CChar](repeating: 0, count: 512)
        let status = rudolph_caption(session, picture.pixels, 64, 64, &options, &text, text.count, &message, message.count)
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
        var options = options
        let copies = names.map { strdup($0) }
        let pointers = copies.map { UnsafePointer<CChar>($0) }
        var found = [Float](repeating: -1, count: names.count + 1), message = [CChar](repeating: 0, count: 512)
        let status = rudolph_classify(
            session, picture.pixels, 64, 64, pointers, count ?? Int32(names.count), &options, &found, &message, message.count)
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
        #expect(MemoryLayout<rudolph_classify_options>.size == 96)
    }

    @Test func reservedFieldsMustBeZero() {
        let refused = (Self.error, "", "reserved fields of the options are not zero")
        var captions = rudolph_caption_options()
        rudolph_caption_options_default(&captions)
        captions.reserved_integer = 1
        #expect(caption(captions) == refused)
        var questions = rudolph_ask_options()
        rudolph_ask_options_default(&questions)
        questions.reserved_integer = -1
        #expect(ask("что?", questions) == refused)
        var texts = rudolph_complete_options()
        rudolph_complete_options_default(&texts)
        texts.reserved_integer = 1
        #expect(complete("кот", texts) == refused)
        texts.reserved_integer = 0
        texts.reserved.7 = 1
        #expect(complete("кот", texts) == refused)
        var classes = rudolph_classify_options()
        classes.reserved.7 = 1
        #expect(classify(["кот"], classes) == (Self.error, [-1, -1], "reserved fields of the options are not zero"))
    }

    @Test func captionsAreCutToALimit() throws {
        var options = rudolph_caption_options()
        rudolph_caption_options_default(&options)
        #expect(options.max_tokens == 0)
        (options.greedy, options.template_text, options.max_tokens) = (1, nil, 3)
        var settings = CaptionOptions.greedy
        settings.maximumTokens = 3
        let expected = try Captioner(try Demo.session()).captions(ofTokens: image.indices, settings).first?.text ?? ""
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
        let expected = try Asker(try Demo.session()).ask("что это?", about: nil, settings).first?.text ?? ""
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
}
