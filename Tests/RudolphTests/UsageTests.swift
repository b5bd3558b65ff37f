import CRudolph
import Foundation
import Testing

@testable import Rudolph

/// A session that is used from its own handlers, and by two threads.
@Suite struct UsageTests {
    let image: Golden.Image
    let picture: RGBImage

    init() throws {
        image = try #require(try Golden.images().first)
        picture = try Golden.picture(image.png)
    }

    /// What kind of error `work` throws; nil for none.
    func kind(_ work: () throws -> Void) -> RudolphError.Kind? {
        do {
            try work()
        } catch {
            return (error as? RudolphError)?.kind
        }
        return nil
    }

    /// All that would write over what a task has computed.
    func tasks(_ session: Session) -> [(name: String, run: () throws -> Void)] {
        let (tokens, picture) = (image.indices, picture)
        return [
            ("captions", { _ = try Captioner(session).captions(tokens: tokens, .greedy) }),
            ("captions of a picture", { _ = try Captioner(session).captions(of: picture, .greedy) }),
            ("answer", { _ = try Asker(session).ask("что?") }),
            ("answer about a picture", { _ = try Asker(session).ask("что?", about: picture) }),
            ("answers", { _ = try Asker(session).askEach([("что?", nil, 1)]) }),
            ("drawing", { _ = try Drawer(session).draw("кошка") }),
            ("drawings", { _ = try Drawer(session).drawEach([("кошка", 1)]) }),
            ("ranking", { _ = try Ranker(session).ranked([tokens], by: "кошка") }),
            ("classes", { _ = try Classifier(session).classify(tokens: tokens, as: ["кошка"]) }),
            ("classes of a picture", { _ = try Classifier(session).classify(picture, as: ["кошка"]) }),
            ("text", { _ = try Completer(session).complete("кошка") }),
            ("logits", { try session.logits(of: [2, 3]) { _, _ in } }),
            ("left text", { _ = try session.computeCaptionLeftText() }),
            ("observation", { try session.observe([2, 3]) { _, _, _, _ in } }),
        ]
    }

    @Test func handlersRunNoTasks() throws {
        let session = try Demo.session(.int8)
        let tasks = tasks(session)
        let caption = try Captioner(session).captions(of: picture, .greedy).map(\.ids)
        var calls = 0
        func tryAll() {
            calls += 1
            guard calls < 4 else { return }
            for task in tasks { #expect(kind(task.run) == .inUse, "\(task.name)") }
        }
        func goOn(_: Rudolph.Progress) -> Bool {
            tryAll()
            return true
        }
        #expect(try Captioner(session).captions(of: picture, .greedy, partial: { _ in tryAll() }).map(\.ids) == caption)
        for run in [
            { _ = try Captioner(session).captions(of: picture, progress: goOn) }, { _ = try Asker(session).ask("что?", progress: goOn) },
            { _ = try Asker(session).askEach([("что?", nil, 1)], progress: goOn) },
            { _ = try Asker(session).askEach([("красное яблоко. что это?", nil, 1)], partial: { _, _ in tryAll() }) },
            { _ = try Drawer(session).draw("кошка", partial: { _, _ in tryAll() }) },
            { _ = try Drawer(session).drawEach([("кошка", 1)], progress: goOn) },
            { _ = try Ranker(session).ranked([image.indices], by: "кошка", progress: goOn) },
            { _ = try Classifier(session).classify(picture, as: ["кошка"], progress: goOn) },
            { _ = try Completer(session).complete("кошка", partial: { _ in tryAll() }) },
            { try session.logits(of: [2, 3]) { _, _ in tryAll() } },
        ] as [() throws -> Void] {
            calls = 0
            let found = kind(run)
            #expect(found == nil && calls > 0)
            // Given back whatever came of it.
            for task in tasks { #expect(kind(task.run) == nil, "\(task.name)") }
        }
        #expect(try Captioner(session).captions(of: picture, .greedy).map(\.ids) == caption)
    }

    @Test func failedTasksGiveTheSessionBack() throws {
        let session = try Demo.session(.int8)
        for task in tasks(session) {
            session.stop.raise()
            #expect(kind(task.run) == .stopped, "\(task.name)")
            session.stop.lower()
            #expect(kind(task.run) == nil, "\(task.name)")
        }
        #expect(kind { _ = try Captioner(session).captions(tokens: [1]) } == .invalidArgument)
        #expect(kind { _ = try Asker(session).ask("") } == .invalidArgument)
        #expect(kind { _ = try Completer(session).complete(String(repeating: "кот ", count: 99)) } == .invalidArgument)
        #expect(kind { _ = try Drawer(session).draw("") } == .invalidArgument)
        #expect(kind { _ = try Ranker(session).ranked([], by: "кот") } == .invalidArgument)
        #expect(kind { _ = try Classifier(session).classify(tokens: [], as: []) } == .invalidArgument)
        #expect(try Captioner(session).captions(of: picture, .greedy).first?.ids == image.caption_ids)
    }

    /// What the threads of a test share.
    final class Shared: @unchecked Sendable {
        let session: Session
        private let lock = NSLock()
        private var counts: [String: Int] = [:]

        init(_ session: Session) {
            self.session = session
        }

        func count(_ what: String) { lock.withLock { counts[what, default: 0] += 1 } }
        subscript(what: String) -> Int { lock.withLock { counts[what] ?? 0 } }
    }

    /// Each result is the right one, or the error that says that another thread was first.
    func run(threads count: Int, times: Int = 60, _ shared: Shared, _ work: @escaping @Sendable (Shared) throws -> Bool) {
        let group = DispatchGroup()
        for _ in 0..<count {
            group.enter()
            Thread {
                for _ in 0..<times {
                    do {
                        shared.count(try work(shared) ? "right" : "wrong")
                    } catch {
                        shared.count((error as? RudolphError)?.kind == .inUse ? "in use" : "another error: \(error)")
                    }
                }
                group.leave()
            }.start()
        }
        group.wait()
        #expect(shared["wrong"] == 0 && (times == 1 || shared["right"] > 0) && shared["right"] + shared["in use"] == times * count)
    }

    func isRefusedOnAnotherThread(_ shared: Shared, _ tokens: [Int]) -> Bool {
        let other = Shared(shared.session)
        run(threads: 1, times: 1, other) { try !Captioner($0.session).captions(tokens: tokens, .greedy).isEmpty }
        return other["in use"] == 1
    }

    @Test func twoThreadsDoNotSpoilEachOthersTexts() throws {
        let shared = Shared(try Demo.session(.int8))
        let (tokens, expected) = (image.indices, image.caption_ids)
        run(threads: 2, shared) { try Captioner($0.session).captions(tokens: tokens, .greedy).first?.ids == expected }
        // A third that comes while one waits within its task is refused for sure.
        var refused = false
        _ = try Captioner(shared.session).captions(tokens: tokens, .greedy, progress: { _ in
            if !refused { refused = self.isRefusedOnAnotherThread(shared, tokens) }
            return true
        })
        #expect(refused)
        // And one that reads pictures, which none of them is in the way of.
        let picture = picture
        run(threads: 3, Shared(shared.session)) { shared in
            let isRight = try Captioner(shared.session).captions(of: picture, .greedy).first?.ids == expected
            return try shared.session.imageTokens(of: picture) == tokens && isRight
        }
    }

    @Test func twoThreadsDoNotSpoilEachOthersPictures() throws {
        let shared = Shared(try Demo.session(.int8))
        let (tokens, picture) = (image.indices, picture)
        let pixels = try shared.session.image(of: tokens).pixels
        run(threads: 2, shared) { shared in
            shared.session.releaseImageEncoder()
            let found = try shared.session.imageTokens(of: picture)
            shared.session.releaseImageDecoder()
            return try shared.session.image(of: found).pixels == pixels && found == tokens
        }
    }

    @Test func callbacksInCRunNoTasks() throws {
        let handle = OpaquePointer(Unmanaged.passRetained(try Demo.session(.int8)).toOpaque())
        defer { rudolph_session_close(handle) }
        struct Uses {
            let session: OpaquePointer
            var statuses: [Int32] = []
        }
        var uses = Uses(session: handle)
        var options = rudolph_caption_options()
        rudolph_caption_options_default(&options)
        options.greedy = 1
        options.partial = { _, data in
            guard let uses = data?.assumingMemoryBound(to: Uses.self), uses.pointee.statuses.isEmpty else { return }
            let session = uses.pointee.session
            let pixel: [UInt8] = [1, 2, 3]
            var text = [CChar](repeating: 0, count: 256), error = text, tokens = [Int32](repeating: 0, count: 64), perplexity: Float = 0
            var pixels = [UInt8](repeating: 0, count: 64 * 64 * 3)
            "кот".withCString { name in
                let names: [UnsafePointer<CChar>?] = [name]
                uses.pointee.statuses = [
                    rudolph_caption(session, pixel, 1, 1, nil, &text, 256, &error, 256),
                    rudolph_ask(session, name, nil, 0, 0, nil, &text, 256, &error, 256),
                    rudolph_complete(session, name, nil, &text, 256, &error, 256),
                    rudolph_draw(session, name, nil, &pixels, pixels.count, &error, 256),
                    rudolph_draw_each(session, names, nil, 1, nil, &pixels, pixels.count, &error, 256),
                    rudolph_classify(session, pixel, 1, 1, names, 1, nil, &perplexity, &error, 256),
                    rudolph_encode(session, pixel, 1, 1, &tokens, 64, &error, 256),
                ]
            }
        }
        var text = [CChar](repeating: 0, count: 256), error = text
        let status = withUnsafeMutablePointer(to: &uses) {
            options.user_data = UnsafeMutableRawPointer($0)
            return rudolph_caption(handle, picture.pixels, 64, 64, &options, &text, 256, &error, 256)
        }
        #expect(status == RUDOLPH_OK.code && String(cString: text) == image.template_caption)
        #expect(uses.statuses == [Int32](repeating: RUDOLPH_IN_USE.code, count: 7))
    }

    /// Before the first step of a classification, and between the pictures of drawings whose tokens are all there.
    @Test func callsInCHoldTheSessionWhileTheyAreAtPictures() throws {
        let handle = OpaquePointer(Unmanaged.passRetained(try Demo.session(.int8)).toOpaque())
        defer { rudolph_session_close(handle) }
        struct Uses {
            let session: OpaquePointer
            var statuses: [Int32] = []
        }
        let progress: rudolph_progress = { stage, done, total, data in
            guard let uses = data?.assumingMemoryBound(to: Uses.self), stage == RUDOLPH_ENCODING_IMAGE.code || done == total else { return 1 }
            var tokens = [Int32](repeating: 0, count: 64)
            uses.pointee.statuses.append(rudolph_encode(uses.pointee.session, [1, 2, 3], 1, 1, &tokens, 64, nil, 0))
            return 1
        }
        var pixels = [UInt8](repeating: 0, count: 3 * 64 * 64 * 3), perplexities: [Float] = [0, 0, 0]
        var drawing = rudolph_draw_options(), classes = rudolph_classify_options()
        rudolph_draw_options_default(&drawing)
        rudolph_classify_options_default(&classes)
        (drawing.progress, classes.progress) = (progress, progress)
        let shared = UnsafeMutablePointer<Uses>.allocate(capacity: 1), name = strdup("кот")
        shared.initialize(to: Uses(session: handle))
        defer {
            shared.deinitialize(count: 1)
            shared.deallocate()
            free(name)
        }
        let names = [UnsafePointer(name), UnsafePointer(name), UnsafePointer(name)]
        (drawing.user_data, classes.user_data) = (UnsafeMutableRawPointer(shared), UnsafeMutableRawPointer(shared))
        #expect(rudolph_classify(handle, picture.pixels, 64, 64, names, 3, &classes, &perplexities, nil, 0) == RUDOLPH_OK.code)
        #expect(rudolph_draw_each(handle, names, nil, 3, &drawing, &pixels, pixels.count, nil, 0) == RUDOLPH_OK.code)
        #expect(shared.pointee.statuses == [Int32](repeating: RUDOLPH_IN_USE.code, count: 3))
    }

    /// Calls in C hold the session until they return, also where they are at pictures: others that come meanwhile are not in their way.
    @Test func picturesOfOtherThreadsDoNotEndCallsInC() throws {
        let handle = OpaquePointer(Unmanaged.passRetained(try Demo.session(.int8)).toOpaque())
        defer { rudolph_session_close(handle) }
        let address = UInt(bitPattern: handle), picture = picture
        let ended = StopFlag(), group = DispatchGroup()
        group.enter()
        Thread {
            var tokens = [Int32](repeating: 0, count: 64)
            while !ended.isRaised {
                let status = rudolph_encode(OpaquePointer(bitPattern: address), picture.pixels, 64, 64, &tokens, 64, nil, 0)
                #expect(status == RUDOLPH_OK.code || status == RUDOLPH_IN_USE.code)
                // The other calls' chance to begin.
                if status == RUDOLPH_OK.code { Thread.sleep(forTimeInterval: 0.0005) }
            }
            group.leave()
        }.start()
        let hasBegun = UnsafeMutablePointer<Bool>.allocate(capacity: 1), name = strdup("кот")
        defer {
            hasBegun.deallocate()
            free(name)
        }
        let names = [UnsafePointer(name), UnsafePointer(name)]
        var pixels = [UInt8](repeating: 0, count: 2 * 64 * 64 * 3), perplexities: [Float] = [0, 0]
        var drawing = rudolph_draw_options(), classes = rudolph_classify_options()
        rudolph_draw_options_default(&drawing)
        rudolph_classify_options_default(&classes)
        drawing.user_data = UnsafeMutableRawPointer(hasBegun)
        classes.user_data = UnsafeMutableRawPointer(hasBegun)
        drawing.progress = { _, _, _, data in
            data?.assumingMemoryBound(to: Bool.self).pointee = true
            return 1
        }
        classes.progress = drawing.progress
        var begun = [0, 0, 0]
        // Some come while the other thread's call runs, and are refused before they begin.
        let end = Date(timeIntervalSinceNow: 120)
        for call in begun.indices {
            while begun[call] < 15, Date() < end {
                hasBegun.pointee = false
                let status =
                    switch call {
                    case 0: rudolph_draw(handle, name, &drawing, &pixels, pixels.count, nil, 0)
                    case 1: rudolph_draw_each(handle, names, nil, 2, &drawing, &pixels, pixels.count, nil, 0)
                    default: rudolph_classify(handle, picture.pixels, 64, 64, names, 2, &classes, &perplexities, nil, 0)
                    }
                if hasBegun.pointee { begun[call] += 1 }
                #expect(status == (hasBegun.pointee ? RUDOLPH_OK.code : RUDOLPH_IN_USE.code), "call \(call)")
            }
        }
        ended.raise()
        group.wait()
        #expect(begun == [15, 15, 15])
    }
}

/// Options that cannot be are told before any picture is looked at, and kinds of errors apart.
@Suite struct ErrorTests {
    @Test func optionsAreCheckedBeforeThePicture() throws {
        let session = try Demo.session(.int8)
        let picture = try Golden.picture(try #require(try Golden.images().first).png)
        var steps = 0
        let count: ProgressHandler = { _ in
            steps += 1
            return true
        }
        var captions = CaptionOptions()
        captions.candidates = 0
        #expect(message { _ = try Captioner(session).captions(of: picture, captions, progress: count) } == "0 candidates, expected 1 to 4096")
        captions = .greedy
        captions.maximumTokens = 1
        #expect(message { _ = try Captioner(session).captions(of: picture, captions, progress: count) }.contains("no room"))
        captions = .greedy
        captions.sampling.topP = 2
        #expect(message { _ = try Captioner(session).captions(of: picture, captions, progress: count) }.hasPrefix("top-p"))
        #expect(message { _ = try Asker(session).ask(" ", about: picture, progress: count) } == "an empty question")
        var answers = AskOptions()
        answers.rightTaskToken = "<RT_NONE>"
        #expect(message { _ = try Asker(session).ask("что?", about: picture, answers, progress: count) }.contains("no task token <RT_NONE>"))
        #expect(steps == 0 && session.encoder == nil)
    }

    @Test func picturesAndTheirTokensAreAskedAlike() throws {
        let session = try Demo.session()
        for image in try Golden.images().prefix(3) {
            var options = AskOptions()
            (options.leftTaskToken, options.rightTaskToken) = (TaskToken.imageToText, TaskToken.caption)
            let answer = try Asker(session).ask("что на картинке?", about: Golden.picture(image.png), options).first
            #expect(answer?.text == image.vqa && answer?.ids == image.vqa_ids)
            #expect(try Asker(session).ask("что на картинке?", tokens: image.indices, options).first?.ids == image.vqa_ids)
        }
    }

    @Test func kindsAreToldApart() throws {
        func kind(_ work: () throws(RudolphError) -> Void) -> RudolphError.Kind? {
            do throws(RudolphError) {
                try work()
                return nil
            } catch {
                return error.kind
            }
        }
        let folder = FileManager.default.temporaryDirectory.appending(path: "rudolph-kinds-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let file = folder.appending(path: "file").path
        let open = { () throws(RudolphError) in _ = try Model(path: file) }
        #expect(kind(open) == .system)
        for bytes in [Data(), Data("no model at all, and long enough".utf8), try Data(contentsOf: URL(filePath: Demo.path(.int4))).prefix(100_000)] {
            try bytes.write(to: URL(filePath: file))
            #expect(kind(open) == .invalidFile, "\(bytes.count) bytes")
        }
        #expect(kind { () throws(RudolphError) in _ = try Model(path: folder.path) } == .system)
        #expect(kind { () throws(RudolphError) in _ = try Model(path: "/dev/null") } == .invalidFile)
        #expect(kind { () throws(RudolphError) in _ = try Model(path: "") } == .invalidArgument)
        #expect(kind { () throws(RudolphError) in try Session.checkThreads(2000, stackBytes: 1 << 62) } == .system)
        let session = try Demo.session(.int8)
        #expect(kind { () throws(RudolphError) in _ = try Session(session.model, threads: 0) } == .invalidArgument)
        #expect(kind { () throws(RudolphError) in _ = try session.image(of: [1]) } == .invalidArgument)
        #expect(kind { () throws(RudolphError) in _ = try Completer(session).complete("кот", progress: { _ in false }) } == .stopped)
        #expect(kind { () throws(RudolphError) in _ = try Allocations().bytes(1 << 62) } == .outOfMemory)
    }
}
