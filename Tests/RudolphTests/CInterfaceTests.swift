import CRudolph
import Foundation
import Testing

@testable import Rudolph

/// rudolph.h, called as a C program calls it.
@Suite struct CInterfaceTests {
    /// Runs a call with a buffer for its message.
    func call(size: Int = 512, _ body: (UnsafeMutablePointer<CChar>?, Int) -> Int32) -> (status: Int32, message: String) {
        var buffer = [CChar](repeating: 0x55, count: size + 1)
        let status = buffer.withUnsafeMutableBufferPointer { body($0.baseAddress, size) }
        #expect(buffer[size] == 0x55, "written past the end")
        return (status, status == 0 || size == 0 ? "" : string(buffer))
    }

    /// What a C program sees of a buffer.
    func string(_ buffer: [CChar]) -> String { String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self) }

    func withSession(_ body: (OpaquePointer) throws -> Void) throws {
        var model: OpaquePointer?
        var session: OpaquePointer?
        let path = try Demo.path(.f16)
        #expect(call { rudolph_model_open(path, &model, $0, $1) } == (0, ""))
        #expect(call { rudolph_session_open(model, 1, &session, $0, $1) } == (0, ""))
        // The session keeps the model.
        rudolph_model_close(model)
        try body(try #require(session))
        rudolph_session_close(session)
    }

    @Test func captionsEqualTheReference() throws {
        #expect(rudolph_version() == RUDOLPH_VERSION)
        #expect(rudolphVersion.hasPrefix("\(RUDOLPH_VERSION)."))
        let image = try #require(try Golden.images().first)
        let picture = try Golden.picture(image.png)
        try withSession { session in
            func caption(_ options: rudolph_caption_options, room: Int = 256) -> (Int32, String, String) {
                var options = options
                var text = [CChar](repeating: 0x55, count: room + 1)
                let result = call { rudolph_caption(session, picture.pixels, 64, 64, &options, &text, room, $0, $1) }
                #expect(text[room] == 0x55, "written past the end")
                return (result.status, string([CChar](text.prefix { $0 != 0x55 })), result.message)
            }
            var options = rudolph_caption_options()
            rudolph_caption_options_default(&options)
            #expect(options.candidates == 48 && options.top_k == 64 && options.rank_by_image == 1)
            #expect(options.template_text.map { String(cString: $0) } == "на картинке")
            options.greedy = 1
            #expect(caption(options) == (RUDOLPH_OK.code, image.template_caption, ""))
            options.template_text = nil
            #expect(caption(options) == (RUDOLPH_OK.code, image.caption, ""))
            "что на картинке?".withCString {
                options.left_text = $0
                #expect(caption(options) == (RUDOLPH_OK.code, image.vqa, ""))
                options.left_text = nil
            }
            // Cut between characters; every size says what is needed.
            let bytes = image.caption.utf8.count
            for room in [1, 2, 3, bytes - 1, bytes] {
                let (status, text, message) = caption(options, room: room)
                #expect(status == RUDOLPH_NO_ROOM.code, "\(room)")
                #expect(image.caption.hasPrefix(text) && text.utf8.count < room, "\(room): \(text)")
                #expect(message == "the text takes \(bytes + 1) bytes, the buffer has \(room)")
            }
            #expect(caption(options, room: 0).0 == RUDOLPH_NO_ROOM.code)
            #expect(caption(options, room: bytes + 1) == (RUDOLPH_OK.code, image.caption, ""))

            options.greedy = 0
            options.candidates = 0
            #expect(caption(options).2 == "0 candidates, expected 1 to 4096")
            options.candidates = 3
            options.temperature = 0
            #expect(caption(options).2.hasPrefix("temperature"))
            options.temperature = 1
            options.rank_by_image = 0
            let first = caption(options)
            #expect(first.0 == RUDOLPH_OK.code)
            #expect(caption(options) == first)

            // The callback stops the task, and the session goes on afterwards.
            var calls: Int32 = 0
            options.greedy = 1
            options.progress = { _, done, total, data in
                data?.assumingMemoryBound(to: Int32.self).pointee += 1
                return done <= total && (data?.assumingMemoryBound(to: Int32.self).pointee ?? 0) < 3 ? 1 : 0
            }
            withUnsafeMutablePointer(to: &calls) {
                options.user_data = UnsafeMutableRawPointer($0)
                #expect(caption(options).0 == RUDOLPH_STOPPED.code)
            }
            #expect(calls == 3)
            // Without any room nothing is begun.
            withUnsafeMutablePointer(to: &calls) {
                options.user_data = UnsafeMutableRawPointer($0)
                #expect(caption(options, room: 0) == (RUDOLPH_NO_ROOM.code, "", "text_size is 0, expected room for a text"))
            }
            #expect(calls == 3)
            options.progress = nil
            #expect(caption(options).1 == image.caption)
        }
    }

    @Test func refusesWhatIsMissingOrWrong() throws {
        let error = RUDOLPH_INVALID_ARGUMENT.code
        var model: OpaquePointer? = OpaquePointer(bitPattern: 8)
        #expect(call { rudolph_model_open(nil, &model, $0, $1) } == (error, "path is NULL"))
        #expect(model == nil)
        #expect(call { rudolph_model_open("x", nil, $0, $1) } == (error, "model is NULL"))
        let invalid: [CChar] = [-1, 0]
        #expect(call { rudolph_model_open(invalid, &model, $0, $1) } == (error, "path is not valid UTF-8"))
        let missing = call { rudolph_model_open("/nonexistent", &model, $0, $1) }
        let system = RUDOLPH_SYSTEM.code
        #expect(missing.status == system && missing.message.hasPrefix("/nonexistent: cannot be opened"))
        // Room for a part of the message, for its end only, for nothing.
        #expect(call(size: 5) { rudolph_model_open("/nonexistent", &model, $0, $1) } == (system, "/non"))
        #expect(call(size: 1) { rudolph_model_open("/nonexistent", &model, $0, $1) } == (system, ""))
        #expect(call(size: 0) { rudolph_model_open("/nonexistent", &model, $0, $1) }.status == system)
        #expect(rudolph_model_open("/nonexistent", &model, nil, 100) == system)
        #expect(call { rudolph_model_open(#filePath, &model, $0, $1) }.status == RUDOLPH_INVALID_FILE.code)

        var session: OpaquePointer? = OpaquePointer(bitPattern: 8)
        #expect(call { rudolph_session_open(nil, 1, &session, $0, $1) } == (error, "model is NULL"))
        #expect(session == nil)
        #expect(call { rudolph_session_open(nil, 1, nil, $0, $1) } == (error, "session is NULL"))
        rudolph_model_close(nil)
        rudolph_session_close(nil)
        rudolph_caption_options_default(nil)
        var text = [CChar](repeating: 0, count: 8)
        let pixel: [UInt8] = [1, 2, 3]
        #expect(call { rudolph_caption(nil, pixel, 1, 1, nil, &text, 8, $0, $1) }.status == error)
        try withSession { session in
            #expect(call { rudolph_caption(session, nil, 1, 1, nil, &text, 8, $0, $1) }.status == error)
            #expect(call { rudolph_caption(session, pixel, 1, 1, nil, nil, 8, $0, $1) }.status == error)
            for (width, height) in [(0, 1), (1, 0), (-1, 1), (1, -1), (Int32.max, Int32.max), (.min, .min), (65536, 65536)] as [(Int32, Int32)] {
                let result = call { rudolph_caption(session, pixel, width, height, nil, &text, 8, $0, $1) }
                #expect(result.status == error && result.message.contains("\(width) x \(height)"), "\(result)")
            }
        }
        try withModel { model in
            for threads: Int32 in [-1, 1025] {
                let result = call { rudolph_session_open(model, threads, &session, $0, $1) }
                #expect(result == (error, "\(threads) threads, expected 1 to 1024"))
            }
        }
    }

    @Test func sessionOptionsHaveDefaults() throws {
        var options = rudolph_session_options(
            threads: 7, cache: 7, release_image_tokenizer: 7, image_arithmetic: 7, activations: 7, reserved_number: 7,
            reserved: (7, 7, 7, 7, 7, 7))
        rudolph_session_options_default(&options)
        #expect(options.threads == 0 && options.cache == 0 && options.release_image_tokenizer == 0)
        #expect(options.image_arithmetic == 0 && options.activations == 0 && options.reserved_number == 0 && options.reserved.5 == 0)
        rudolph_session_options_default(nil)
        try withModel { model in
            var session: OpaquePointer?
            #expect(call { rudolph_session_open_with(model, nil, &session, $0, $1) } == (0, ""))
            rudolph_session_close(session)
        }
    }

    /// The C session of one thread, which the caller closes, and the Swift one that it stands for.
    func open(_ model: OpaquePointer, _ change: (inout rudolph_session_options) -> Void) throws -> (handle: OpaquePointer, session: Session) {
        var handle: OpaquePointer?
        var options = rudolph_session_options()
        options.threads = 1
        change(&options)
        #expect(call { rudolph_session_open_with(model, &options, &handle, $0, $1) } == (0, ""))
        let opened = try #require(handle)
        return (opened, Unmanaged<Session>.fromOpaque(UnsafeRawPointer(opened)).takeUnretainedValue())
    }

    @Test func sessionOptionsChooseTheArithmetic() throws {
        try withModel { model in // int4
            for (number, expected) in [(0, ImageArithmetic.fast), (1, .fast), (2, .winograd), (3, .direct)] {
                let (handle, session) = try open(model) { $0.image_arithmetic = Int32(number) }
                #expect(session.imageArithmetic == expected)
                rudolph_session_close(handle)
            }
            for (number, expected) in [(0, ActivationPrecision.int8), (1, .int8), (2, .mixed), (3, .int16)] {
                let (handle, session) = try open(model) { $0.activations = Int32(number) }
                #expect(session.precision == expected)
                rudolph_session_close(handle)
            }
        }
    }

    @Test func otherSessionOptionsAreRefused() throws {
        let changes: [((inout rudolph_session_options) -> Void, String)] = [
            ({ $0.threads = -1 }, "-1 threads, expected 1 to 1024"),
            ({ $0.image_arithmetic = 4 }, "image_arithmetic is 4, expected 0 to 3"),
            ({ $0.cache = 3 }, "cache is 3, expected 0 to 2"),
            ({ $0.activations = -1 }, "activations is -1, expected 0 to 3"),
            ({ $0.activations = 4 }, "activations is 4, expected 0 to 3"),
            ({ $0.reserved_number = 1 }, "reserved fields of the options are not zero"),
        ]
        try withModel { model in
            for (change, message) in changes {
                var session: OpaquePointer?
                var options = rudolph_session_options()
                change(&options)
                #expect(call { rudolph_session_open_with(model, &options, &session, $0, $1) } == (RUDOLPH_INVALID_ARGUMENT.code, message))
                #expect(session == nil)
            }
        }
    }

    @Test func sessionsKeepKeysAndValuesAsTheyAreTold() throws {
        let image = try #require(try Golden.images().first)
        let picture = try Golden.picture(image.png)
        try withModel { model in
            for (number, expected) in [(0, KeyValueFormat.int8), (1, .f16), (2, .int8)] {
                let (handle, session) = try open(model) { $0.cache = Int32(number) }
                #expect(session.keyValueFormat == expected && session.threads == 1 && session.keepsImageTokenizer)
                var text = [CChar](repeating: 0, count: 256)
                var caption = rudolph_caption_options()
                rudolph_caption_options_default(&caption)
                caption.greedy = 1
                #expect(call { rudolph_caption(handle, picture.pixels, 64, 64, &caption, &text, 256, $0, $1) } == (0, ""))
                #expect(text[0] != 0)
                rudolph_session_close(handle)
            }
        }
    }

    @Test func progressNamesTheStages() throws {
        let image = try #require(try Golden.images().first)
        let picture = try Golden.picture(image.png)
        try withSession { session in
            var options = rudolph_caption_options()
            rudolph_caption_options_default(&options)
            options.candidates = 3
            options.progress = { stage, done, total, data in
                data?.assumingMemoryBound(to: [Int32].self).pointee.append(stage)
                return done <= total ? 1 : 0
            }
            var stages: [Int32] = []
            var text = [CChar](repeating: 0, count: 256)
            withUnsafeMutablePointer(to: &stages) {
                options.user_data = UnsafeMutableRawPointer($0)
                #expect(call { rudolph_caption(session, picture.pixels, 64, 64, &options, &text, 256, $0, $1) } == (0, ""))
            }
            #expect(stages == stages.sorted())
            #expect(
                Set(stages)
                    == [RUDOLPH_ENCODING_IMAGE.code, RUDOLPH_READING.code, RUDOLPH_GENERATING.code, RUDOLPH_RANKING.code])
        }
    }

    @Test func anotherThreadStopsASession() throws {
        let image = try #require(try Golden.images().first)
        let picture = try Golden.picture(image.png)
        rudolph_session_stop(nil)
        rudolph_session_resume(nil)
        try withSession { session in
            var options = rudolph_draw_options()
            rudolph_draw_options_default(&options)
            options.candidates = 4096
            options.batch = 64
            var pixels = [UInt8](repeating: 0, count: 64 * 64 * 3)
            let address = UInt(bitPattern: session)
            let stopper = Thread {
                Thread.sleep(forTimeInterval: 0.1)
                rudolph_session_stop(OpaquePointer(bitPattern: address))
            }
            stopper.start()
            let stopped = (RUDOLPH_STOPPED.code, "stopped")
            #expect(call { rudolph_draw(session, "кошка", &options, &pixels, pixels.count, $0, $1) } == stopped)
            // Until it is resumed.
            var text = [CChar](repeating: 0, count: 256)
            var caption = rudolph_caption_options()
            rudolph_caption_options_default(&caption)
            caption.greedy = 1
            caption.template_text = nil
            #expect(call { rudolph_caption(session, picture.pixels, 64, 64, &caption, &text, 256, $0, $1) } == stopped)
            rudolph_session_resume(session)
            #expect(call { rudolph_caption(session, picture.pixels, 64, 64, &caption, &text, 256, $0, $1) } == (0, ""))
            #expect(string(text) == image.caption)
        }
    }

    @Test func imageTokenizersAreReleasedOnRequest() throws {
        let image = try #require(try Golden.images().first)
        let picture = try Golden.picture(image.png)
        var options = rudolph_session_options()
        rudolph_session_options_default(&options)
        options.threads = 1
        options.release_image_tokenizer = 1
        var model: OpaquePointer?
        var session: OpaquePointer?
        let path = try Demo.path(.f16)
        #expect(call { rudolph_model_open(path, &model, $0, $1) } == (0, ""))
        #expect(call { rudolph_session_open_with(model, &options, &session, $0, $1) } == (0, ""))
        rudolph_model_close(model)
        let opened = Unmanaged<Session>.fromOpaque(UnsafeRawPointer(try #require(session))).takeUnretainedValue()
        var caption = rudolph_caption_options()
        rudolph_caption_options_default(&caption)
        caption.greedy = 1
        caption.template_text = nil
        var text = [CChar](repeating: 0, count: 256)
        for _ in 0..<2 {
            #expect(call { rudolph_caption(session, picture.pixels, 64, 64, &caption, &text, 256, $0, $1) } == (0, ""))
            #expect(string(text) == image.caption)
            #expect(opened.encoder == nil)
        }
        rudolph_session_close(session)
    }

    @Test func answersEqualTheReference() throws {
        let image = try #require(try Golden.images().first)
        let picture = try Golden.picture(image.png)
        try withSession { session in
            func ask(_ question: String?, _ pixels: [UInt8]?, _ options: rudolph_ask_options, room: Int = 256) -> (Int32, String, String) {
                var options = options
                var text = [CChar](repeating: 0, count: room + 1)
                let result = call { rudolph_ask(session, question, pixels, 64, 64, &options, &text, room, $0, $1) }
                return (result.status, string(text), result.message)
            }
            var options = rudolph_ask_options()
            rudolph_ask_options_default(&options)
            rudolph_ask_options_default(nil)
            #expect(options.candidates == 1 && options.top_k == 1 && options.left_task == nil && options.seed == 0)
            "<LT_I2T>".withCString { left in
                "<RT_I2T>".withCString { right in
                    (options.left_task, options.right_task) = (left, right)
                    #expect(ask("что на картинке?", picture.pixels, options) == (0, image.vqa, ""))
                    #expect(ask("Какого цвета предмет?", picture.pixels, options) == (0, image.colour, ""))
                    let cut = ask("что на картинке?", picture.pixels, options, room: 3)
                    #expect(cut.0 == RUDOLPH_NO_ROOM.code && cut.2 == "the text takes \(image.vqa.utf8.count + 1) bytes, the buffer has 3")
                }
            }
            (options.left_task, options.right_task) = (nil, nil)
            let expected = try Asker(try Demo.session()).ask("красное яблоко. что это?").first?.text
            #expect(ask("красное яблоко. что это?", nil, options) == (0, expected ?? "", ""))
            let error = RUDOLPH_INVALID_ARGUMENT.code
            #expect(ask(nil, nil, options) == (error, "", "question is NULL"))
            #expect(ask(" ", nil, options) == (error, "", "an empty question"))
            "<X>".withCString {
                options.left_task = $0
                #expect(ask("что?", nil, options).2.contains("has no task token <X>"))
                options.left_task = nil
            }
            options.candidates = 4097
            #expect(ask("что?", nil, options) == (error, "", "4097 candidates, expected 1 to 4096"))
        }
    }

    @Test func drawingsEqualThoseOfSwift() throws {
        var options = rudolph_draw_options()
        rudolph_draw_options_default(&options)
        rudolph_draw_options_default(nil)
        #expect(options.candidates == 1 && options.batch == 8 && options.top_k == 768 && options.temperature == 1)
        #expect(rudolph_drawing_side(nil) == 0)
        try withModel { #expect(rudolph_drawing_side($0) == 64) }
        let swift = try Demo.session()
        #expect(swift.model.configuration.drawingSide == 64)
        var drawing = DrawOptions()
        drawing.seed = 5
        drawing.candidates = 3
        let best = try #require(try Drawer(swift).draw("кошка", drawing).first)
        let expected = try swift.image(of: best.tokens).pixels
        options.seed = 5
        options.candidates = 3
        try withSession { session in
            var pixels = [UInt8](repeating: 0x55, count: expected.count + 1)
            #expect(call { rudolph_draw(session, "кошка", &options, &pixels, expected.count, $0, $1) } == (0, ""))
            #expect(pixels.dropLast().elementsEqual(expected) && pixels.last == 0x55)
            let small = (RUDOLPH_NO_ROOM.code, "the picture takes 12288 bytes, the buffer has 12287")
            pixels = [UInt8](repeating: 0x55, count: expected.count + 1)
            #expect(call { rudolph_draw(session, "кошка", &options, &pixels, expected.count - 1, $0, $1) } == small)
            #expect(pixels.allSatisfy { $0 == 0x55 })
            let error = RUDOLPH_INVALID_ARGUMENT.code
            #expect(call { rudolph_draw(session, nil, nil, &pixels, expected.count, $0, $1) } == (error, "text is NULL"))
            #expect(call { rudolph_draw(session, "кошка", nil, nil, expected.count, $0, $1) } == (error, "rgb is NULL"))
            #expect(call { rudolph_draw(nil, "кошка", nil, &pixels, expected.count, $0, $1) } == (error, "session is NULL"))
            options.batch = 0
            let batch = (error, "a batch of 0, expected 1 to 64")
            #expect(call { rudolph_draw(session, "кошка", &options, &pixels, expected.count, $0, $1) } == batch)
        }
    }

    /// The bytes of a picture of the demo model.
    var drawingSize: Int { 64 * 64 * 3 }

    func draw(_ session: OpaquePointer, _ options: rudolph_draw_options, _ text: String, _ seed: UInt64) -> [UInt8] {
        var options = options, pixels = [UInt8](repeating: 0, count: drawingSize)
        options.seed = seed
        #expect(call { rudolph_draw(session, text, &options, &pixels, drawingSize, $0, $1) } == (0, ""))
        return pixels
    }

    func drawEach(
        _ session: OpaquePointer, _ texts: [String], _ seeds: [UInt64]?, _ options: rudolph_draw_options, room: Int? = nil, count: Int32? = nil
    ) -> (status: Int32, message: String, pixels: [UInt8]) {
        var options = options
        let copies = texts.map { strdup($0) }
        defer { for copy in copies { free(copy) } }
        let pointers = copies.map { UnsafePointer($0) }, room = room ?? texts.count * drawingSize, count = count ?? Int32(texts.count)
        var pixels = [UInt8](repeating: 0x55, count: room + 1)
        let result = call { rudolph_draw_each(session, pointers, seeds, count, &options, &pixels, room, $0, $1) }
        #expect(pixels[room] == 0x55, "written past the end")
        return (result.status, result.message, pixels.dropLast())
    }

    @Test func severalDrawingsEqualThoseByThemselves() throws {
        let size = drawingSize
        var options = rudolph_draw_options()
        rudolph_draw_options_default(&options)
        (options.seed, options.batch) = (5, 2)
        try withSession { session in
            let texts = ["кошка", "яблоко", "кошка"]
            let own = drawEach(session, texts, [7, 1 << 63, 8], options)
            #expect(own.status == 0)
            for (index, seed) in ([7, 1 << 63, 8] as [UInt64]).enumerated() {
                #expect(own.pixels[(index * size)..<((index + 1) * size)].elementsEqual(draw(session, options, texts[index], seed)))
            }
            let following = drawEach(session, texts, nil, options)
            #expect(following.status == 0)
            for (index, seed) in ([5, 6, 7] as [UInt64]).enumerated() {
                #expect(following.pixels[(index * size)..<((index + 1) * size)].elementsEqual(draw(session, options, texts[index], seed)))
            }
            options.seed = .max
            #expect(drawEach(session, [texts[0], texts[0]], nil, options).pixels.suffix(size).elementsEqual(draw(session, options, texts[0], 0)))

            let error = RUDOLPH_INVALID_ARGUMENT.code, untouched = [UInt8](repeating: 0x55, count: size)
            let small = drawEach(session, texts, nil, options, room: 3 * size - 1)
            #expect(small.message == "the 3 pictures take 36864 bytes, the buffer has 36863" && small.pixels.allSatisfy { $0 == 0x55 })
            #expect(small.status == RUDOLPH_NO_ROOM.code && drawEach(session, texts, nil, options, room: size).pixels == untouched)
            for count: Int32 in [0, -1] {
                #expect(drawEach(session, ["кошка"], nil, options, count: count) == (error, "\(count) texts, expected at least one", untouched))
            }
            #expect(drawEach(session, ["кошка", " "], nil, options, room: 2 * size) == (error, "an empty text to draw", untouched + untouched))
            var pixels = untouched
            #expect(call { rudolph_draw_each(session, nil, nil, 1, nil, &pixels, size, $0, $1) } == (error, "texts is NULL"))
            #expect(call { rudolph_draw_each(session, [nil], nil, 1, nil, &pixels, size, $0, $1) } == (error, "texts[0] is NULL"))
            options.candidates = 2
            #expect(drawEach(session, ["кошка"], nil, options) == (error, "2 candidates, expected 1 of each text", untouched))
            options.candidates = 1
            // Also when all tokens are there, before the second picture is decoded.
            options.progress = { _, done, total, _ in done < total ? 1 : 0 }
            #expect(drawEach(session, texts, nil, options) == (RUDOLPH_STOPPED.code, "stopped", untouched + untouched + untouched))
            options.progress = { _, done, total, _ in done <= total ? 1 : 0 }
            #expect(drawEach(session, texts, nil, options).status == 0)
        }
    }

    /// What later versions put into the reserved fields is not ignored.
    @Test func reservedFieldsMustBeZero() throws {
        let refused = (RUDOLPH_INVALID_ARGUMENT.code, "reserved fields of the options are not zero")
        let pixel: [UInt8] = [1, 2, 3]
        var text = [CChar](repeating: 0, count: 256)
        var pixels = [UInt8](repeating: 0, count: 64 * 64 * 3)
        try withSession { session in
            var caption = rudolph_caption_options()
            rudolph_caption_options_default(&caption)
            caption.reserved.3 = 1 << 63
            #expect(call { rudolph_caption(session, pixel, 1, 1, &caption, &text, 256, $0, $1) } == refused)
            var question = rudolph_ask_options()
            rudolph_ask_options_default(&question)
            question.reserved.0 = 1
            #expect(call { rudolph_ask(session, "что?", nil, 0, 0, &question, &text, 256, $0, $1) } == refused)
            var drawing = rudolph_draw_options()
            for change in [{ $0.reserved.3 = 1 }, { $0.reserved_integer = 1 }] as [(inout rudolph_draw_options) -> Void] {
                rudolph_draw_options_default(&drawing)
                change(&drawing)
                #expect(call { rudolph_draw(session, "кошка", &drawing, &pixels, pixels.count, $0, $1) } == refused)
                let several = drawEach(session, ["кошка"], nil, drawing)
                #expect(several.status == refused.0 && several.message == refused.1)
            }
        }
        try withModel { model in
            for change in [{ $0.reserved.0 = 1 }, { $0.reserved.5 = 1 }] as [(inout rudolph_session_options) -> Void] {
                var options = rudolph_session_options()
                rudolph_session_options_default(&options)
                change(&options)
                var session: OpaquePointer?
                #expect(call { rudolph_session_open_with(model, &options, &session, $0, $1) } == refused)
                #expect(session == nil)
            }
        }
    }

    func withModel(_ body: (OpaquePointer) throws -> Void) throws {
        var model: OpaquePointer?
        let path = try Demo.path(.int4)
        #expect(call { rudolph_model_open(path, &model, $0, $1) } == (0, ""))
        try body(try #require(model))
        rudolph_model_close(model)
    }
}

extension BinaryInteger {
    /// A constant of rudolph.h as the functions return it.
    var code: Int32 { Int32(self) }
}
