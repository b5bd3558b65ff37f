import CRudolph

// The implementation of rudolph.h. Handles are retained objects; every error becomes a status and a message.

@c @implementation
public func rudolph_version() -> Int32 { RUDOLPH_VERSION }

@c @implementation
public func rudolph_model_open(
    _ path: UnsafePointer<CChar>!, _ model: UnsafeMutablePointer<OpaquePointer?>!, _ error: UnsafeMutablePointer<CChar>!,
    _ errorSize: Int
) -> Int32 {
    attempt(error, errorSize) { () throws(RudolphError) in
        let model = try given(model, "model")
        model.pointee = nil
        let opened = try Model(path: try text(path, "path"))
        model.pointee = OpaquePointer(Unmanaged.passRetained(opened).toOpaque())
    }
}

@c @implementation
public func rudolph_model_close(_ model: OpaquePointer!) {
    if let model { Unmanaged<Model>.fromOpaque(UnsafeRawPointer(model)).release() }
}

@c @implementation
public func rudolph_task_token_count(_ model: OpaquePointer!) -> Int32 {
    guard let model else { return 0 }
    return Int32(openedModel(model).configuration.taskTokens.count)
}

@c @implementation
public func rudolph_task_token(
    _ model: OpaquePointer!, _ index: Int32, _ output: UnsafeMutablePointer<CChar>!, _ outputSize: Int, _ error: UnsafeMutablePointer<CChar>!,
    _ errorSize: Int
) -> Int32 {
    attempt(output, outputSize, error, errorSize) { () throws(RudolphError) in
        let tokens = openedModel(try given(model, "model")).configuration.taskTokens
        guard tokens.indices.contains(Int(index)) else { throw RudolphError("task token \(index), expected 0 to \(tokens.count - 1)") }
        return tokens[Int(index)].name
    }
}

@c @implementation
public func rudolph_session_open(
    _ model: OpaquePointer!, _ threads: Int32, _ session: UnsafeMutablePointer<OpaquePointer?>!,
    _ error: UnsafeMutablePointer<CChar>!, _ errorSize: Int
) -> Int32 {
    var options = rudolph_session_options()
    options.threads = threads
    return rudolph_session_open_with(model, &options, session, error, errorSize)
}

@c @implementation
public func rudolph_session_options_default(_ options: UnsafeMutablePointer<rudolph_session_options>!) {
    if let options { options.pointee = rudolph_session_options() }
}

@c @implementation
public func rudolph_session_open_with(
    _ model: OpaquePointer!, _ options: UnsafePointer<rudolph_session_options>!, _ session: UnsafeMutablePointer<OpaquePointer?>!,
    _ error: UnsafeMutablePointer<CChar>!, _ errorSize: Int
) -> Int32 {
    attempt(error, errorSize) { () throws(RudolphError) in
        let session = try given(session, "session")
        session.pointee = nil
        let shared = openedModel(try given(model, "model"))
        let fields = options?.pointee ?? rudolph_session_options()
        try checkReserved(fields.reserved)
        try checkReserved(fields.reserved_number)
        let opened = try Session(
            shared, threads: fields.threads == 0 ? nil : Int(fields.threads), precision: try precision(fields.activations),
            imageArithmetic: try imageArithmetic(fields.image_arithmetic), keyValueFormat: try keyValueFormat(fields.cache))
        opened.keepsImageTokenizer = fields.release_image_tokenizer == 0
        session.pointee = OpaquePointer(Unmanaged.passRetained(opened).toOpaque())
    }
}

@c @implementation
public func rudolph_session_close(_ session: OpaquePointer!) {
    if let session { Unmanaged<Session>.fromOpaque(UnsafeRawPointer(session)).release() }
}

@c @implementation
public func rudolph_session_stop(_ session: OpaquePointer!) {
    if let session { Unmanaged<Session>.fromOpaque(UnsafeRawPointer(session))._withUnsafeGuaranteedRef { $0.stop.raise() } }
}

@c @implementation
public func rudolph_session_resume(_ session: OpaquePointer!) {
    if let session { Unmanaged<Session>.fromOpaque(UnsafeRawPointer(session))._withUnsafeGuaranteedRef { $0.stop.lower() } }
}

/// "на картинке" for C, for as long as the process lives.
nonisolated(unsafe) private let defaultTemplate: UnsafePointer<CChar> = {
    let bytes = Array("на картинке".utf8) + [0]
    let copy = UnsafeMutablePointer<CChar>.allocate(capacity: bytes.count)
    for index in bytes.indices { copy[index] = CChar(bitPattern: bytes[index]) }
    return UnsafePointer(copy)
}()

@c @implementation
public func rudolph_caption_options_default(_ options: UnsafeMutablePointer<rudolph_caption_options>!) {
    guard let options else { return }
    let defaults = CaptionOptions()
    options.pointee = rudolph_caption_options()
    options.pointee.template_text = defaultTemplate
    options.pointee.candidates = Int32(defaults.candidates)
    options.pointee.rank_by_image = 1
    options.pointee.temperature = defaults.sampling.temperature
    options.pointee.top_k = Int32(defaults.sampling.topK)
    options.pointee.top_p = defaults.sampling.topP
}

@c @implementation
public func rudolph_caption(
    _ session: OpaquePointer!, _ rgb: UnsafePointer<UInt8>!, _ width: Int32, _ height: Int32,
    _ options: UnsafePointer<rudolph_caption_options>!, _ output: UnsafeMutablePointer<CChar>!, _ outputSize: Int,
    _ error: UnsafeMutablePointer<CChar>!, _ errorSize: Int
) -> Int32 {
    attempt(output, outputSize, error, errorSize) { () throws(RudolphError) in
        let opened = try openedSession(session)
        var fields = rudolph_caption_options()
        if let options { fields = options.pointee } else { rudolph_caption_options_default(&fields) }
        try checkReserved(fields.reserved)
        var settings = fields.greedy != 0 ? CaptionOptions.greedy : CaptionOptions()
        settings.maximumTokens = try maximumTokens(fields.max_tokens)
        settings.leftText = fields.left_text == nil ? "" : try text(fields.left_text, "left_text")
        settings.template = fields.template_text == nil ? nil : try text(fields.template_text, "template_text")
        if fields.greedy == 0 {
            settings.candidates = Int(fields.candidates)
            settings.sampling = SamplingOptions(temperature: fields.temperature, topK: Int(fields.top_k), topP: fields.top_p)
            settings.ranking = fields.rank_by_image != 0 ? .image : .count
        }
        settings.seed = fields.seed
        let progress = handler(fields.progress, fields.user_data)
        let picture = try GivenPicture(rgb, width, height, fields.image_tokens, fields.image_token_count)
        try picture.require()
        let captions = try Captioner(opened).captions(settings, partialHandler(fields.partial, fields.user_data), progress) {
            () throws(RudolphError) in try picture.tokens(opened, progress) ?? []
        }
        for caption in captions { tell(fields.candidate, caption.text, caption.count, caption.score ?? 0, fields.user_data) }
        return captions.first?.text ?? ""
    }
}

@c @implementation
public func rudolph_ask_options_default(_ options: UnsafeMutablePointer<rudolph_ask_options>!) {
    guard let options else { return }
    let defaults = AskOptions()
    options.pointee = rudolph_ask_options()
    options.pointee.candidates = Int32(defaults.candidates)
    options.pointee.temperature = defaults.sampling.temperature
    options.pointee.top_k = Int32(defaults.sampling.topK)
    options.pointee.top_p = defaults.sampling.topP
}

@c @implementation
public func rudolph_ask(
    _ session: OpaquePointer!, _ question: UnsafePointer<CChar>!, _ rgb: UnsafePointer<UInt8>!, _ width: Int32, _ height: Int32,
    _ options: UnsafePointer<rudolph_ask_options>!, _ output: UnsafeMutablePointer<CChar>!, _ outputSize: Int,
    _ error: UnsafeMutablePointer<CChar>!, _ errorSize: Int
) -> Int32 {
    attempt(output, outputSize, error, errorSize) { () throws(RudolphError) in
        let opened = try openedSession(session)
        let question = try text(question, "question")
        var fields = rudolph_ask_options()
        if let options { fields = options.pointee } else { rudolph_ask_options_default(&fields) }
        try checkReserved(fields.reserved)
        var settings = AskOptions()
        settings.maximumTokens = try maximumTokens(fields.max_tokens)
        if fields.left_task != nil { settings.leftTaskToken = try text(fields.left_task, "left_task") }
        if fields.right_task != nil { settings.rightTaskToken = try text(fields.right_task, "right_task") }
        settings.candidates = Int(fields.candidates)
        settings.sampling = SamplingOptions(temperature: fields.temperature, topK: Int(fields.top_k), topP: fields.top_p)
        settings.seed = fields.seed
        let progress = handler(fields.progress, fields.user_data)
        let picture = try GivenPicture(rgb, width, height, fields.image_tokens, fields.image_token_count)
        let asker = Asker(opened)
        let answers = try asker.ask(question, settings, partialHandler(fields.partial, fields.user_data), progress) {
            () throws(RudolphError) in try picture.tokens(opened, progress) ?? asker.noPicture
        }
        for answer in answers { tell(fields.candidate, answer.text, answer.count, 0, fields.user_data) }
        return answers.first?.text ?? ""
    }
}

@c @implementation
public func rudolph_draw_options_default(_ options: UnsafeMutablePointer<rudolph_draw_options>!) {
    guard let options else { return }
    let defaults = DrawOptions()
    options.pointee = rudolph_draw_options()
    options.pointee.candidates = Int32(defaults.count)
    options.pointee.batch = Int32(defaults.batch)
    options.pointee.temperature = defaults.sampling.temperature
    options.pointee.top_k = Int32(defaults.sampling.topK)
    options.pointee.top_p = defaults.sampling.topP
}

@c @implementation
public func rudolph_drawing_side(_ model: OpaquePointer!) -> Int32 {
    guard let model else { return 0 }
    let opened = openedModel(model)
    return opened.hasImageDecoder ? Int32(opened.configuration.drawingSide) : 0
}

@c @implementation
public func rudolph_draw(
    _ session: OpaquePointer!, _ drawn: UnsafePointer<CChar>!, _ options: UnsafePointer<rudolph_draw_options>!,
    _ rgb: UnsafeMutablePointer<UInt8>!, _ rgbSize: Int, _ error: UnsafeMutablePointer<CChar>!, _ errorSize: Int
) -> Int32 {
    drawPictures(session, options, rgb, rgbSize, error, errorSize) { () throws(RudolphError) in
        [try text(drawn, "text")]
    } drawing: { (drawer, texts, settings, progress) throws(RudolphError) in
        let drawings = try drawer.drawings(of: texts[0], settings, nil, progress)
        return drawings.map { $0.tokens }
    }
}

@c @implementation
public func rudolph_draw_each(
    _ session: OpaquePointer!, _ drawn: UnsafePointer<UnsafePointer<CChar>?>!, _ seeds: UnsafePointer<UInt64>!, _ count: Int32,
    _ options: UnsafePointer<rudolph_draw_options>!, _ rgb: UnsafeMutablePointer<UInt8>!, _ rgbSize: Int,
    _ error: UnsafeMutablePointer<CChar>!, _ errorSize: Int
) -> Int32 {
    drawPictures(session, options, rgb, rgbSize, error, errorSize) { () throws(RudolphError) in
        try texts(drawn, count, "texts")
    } drawing: { (drawer, texts, settings, progress) throws(RudolphError) in
        guard settings.candidates == 1 else { throw RudolphError("\(settings.candidates ?? 0) candidates, expected 1 of each text") }
        let first = settings.seed ?? 0
        let asked = texts.indices.map { (text: texts[$0], seed: seeds == nil ? first &+ UInt64($0) : seeds[$0]) }
        return try drawer.tokens(ofEach: asked, settings, progress)
    }
}

/// Gives the caller a picture of each of the texts, whose tokens `draw` finds, one behind the other, if the buffer has room for them.
private func drawPictures(
    _ session: OpaquePointer?, _ options: UnsafePointer<rudolph_draw_options>?, _ rgb: UnsafeMutablePointer<UInt8>?, _ rgbSize: Int,
    _ error: UnsafeMutablePointer<CChar>?, _ errorSize: Int, of texts: () throws(RudolphError) -> [String],
    drawing draw: (Drawer, [String], DrawOptions, ProgressHandler?) throws(RudolphError) -> [[Int]]
) -> Int32 {
    var count = 0, needed = 0
    let status = attempt(error, errorSize) { () throws(RudolphError) in
        let opened = try openedSession(session)
        let texts = try texts()
        let pixels = try given(rgb, "rgb")
        var fields = rudolph_draw_options()
        if let options { fields = options.pointee } else { rudolph_draw_options_default(&fields) }
        try checkReserved(fields.reserved_integer)
        try checkReserved(fields.reserved)
        _ = try opened.model.requiredImageDecoder()
        let configuration = opened.model.configuration
        let size = 3 * configuration.drawingSide * configuration.drawingSide
        count = texts.count
        needed = count * size
        guard rgbSize >= needed else { return }
        var settings = DrawOptions()
        settings.candidates = Int(fields.candidates)
        settings.batch = Int(fields.batch)
        settings.sampling = SamplingOptions(temperature: fields.temperature, topK: Int(fields.top_k), topP: fields.top_p)
        settings.seed = fields.seed
        let progress = handler(fields.progress, fields.user_data)
        // Until the pictures are there: another thread's call after the tokens would be in the decoder's way.
        try opened.tasks.take()
        defer { opened.tasks.giveBack() }
        let drawn = try draw(Drawer(opened), texts, settings, progress)
        guard drawn.count == count else { throw RudolphError("nothing was drawn") }
        var pictures: [RGBImage] = []
        for tokens in drawn {
            if !pictures.isEmpty { try report(progress, .generating, count * configuration.imageLength, count * configuration.imageLength) }
            pictures.append(try opened.image(of: tokens))
        }
        for (picture, image) in pictures.enumerated() {
            for (index, byte) in image.pixels.prefix(size).enumerated() { pixels[picture * size + index] = byte }
        }
    }
    guard status == RUDOLPH_OK, rgbSize < needed else { return status }
    let taking = count == 1 ? "the picture takes" : "the \(count) pictures take"
    _ = copy("\(taking) \(needed) bytes, the buffer has \(rgbSize)", to: error, errorSize)
    return Int32(RUDOLPH_NO_ROOM)
}

@c @implementation
public func rudolph_complete_options_default(_ options: UnsafeMutablePointer<rudolph_complete_options>!) {
    guard let options else { return }
    let defaults = CompleteOptions()
    options.pointee = rudolph_complete_options()
    options.pointee.candidates = Int32(defaults.candidates)
    options.pointee.temperature = defaults.sampling.temperature
    options.pointee.top_k = Int32(defaults.sampling.topK)
    options.pointee.top_p = defaults.sampling.topP
}

@c @implementation
public func rudolph_complete(
    _ session: OpaquePointer!, _ beginning: UnsafePointer<CChar>!, _ options: UnsafePointer<rudolph_complete_options>!,
    _ output: UnsafeMutablePointer<CChar>!, _ outputSize: Int, _ error: UnsafeMutablePointer<CChar>!, _ errorSize: Int
) -> Int32 {
    attempt(output, outputSize, error, errorSize) { () throws(RudolphError) in
        let opened = try openedSession(session)
        let beginning = try text(beginning, "beginning")
        var fields = rudolph_complete_options()
        if let options { fields = options.pointee } else { rudolph_complete_options_default(&fields) }
        try checkReserved(fields.reserved_integer)
        try checkReserved(fields.reserved)
        var settings = CompleteOptions()
        if fields.task != nil { settings.taskToken = try text(fields.task, "task") }
        settings.candidates = Int(fields.candidates)
        settings.maximumTokens = try maximumTokens(fields.max_tokens)
        settings.sampling = SamplingOptions(temperature: fields.temperature, topK: Int(fields.top_k), topP: fields.top_p)
        settings.seed = fields.seed
        let progress = handler(fields.progress, fields.user_data)
        let completions = try Completer(opened).complete(
            beginning, settings, partial: partialHandler(fields.partial, fields.user_data), progress: progress)
        for completion in completions { tell(fields.candidate, completion.text, completion.count, completion.perplexity, fields.user_data) }
        return completions.first?.text ?? ""
    }
}

@c @implementation
public func rudolph_classify_options_default(_ options: UnsafeMutablePointer<rudolph_classify_options>!) {
    if let options { options.pointee = rudolph_classify_options() }
}

@c @implementation
public func rudolph_classify(
    _ session: OpaquePointer!, _ rgb: UnsafePointer<UInt8>!, _ width: Int32, _ height: Int32,
    _ classes: UnsafePointer<UnsafePointer<CChar>?>!, _ count: Int32, _ options: UnsafePointer<rudolph_classify_options>!,
    _ perplexities: UnsafeMutablePointer<Float>!, _ error: UnsafeMutablePointer<CChar>!, _ errorSize: Int
) -> Int32 {
    attempt(error, errorSize) { () throws(RudolphError) in
        let opened = try openedSession(session)
        let fields = options?.pointee ?? rudolph_classify_options()
        try checkReserved(fields.reserved)
        try checkReserved(fields.reserved_integer)
        let picture = try GivenPicture(rgb, width, height, fields.image_tokens, fields.image_token_count)
        try picture.require()
        let names = try texts(classes, count, "classes")
        let output = try given(perplexities, "perplexities")
        var settings = ClassifyOptions()
        if fields.left_template != nil { settings.leftTemplate = try text(fields.left_template, "left_template") }
        if fields.right_template != nil { settings.rightTemplate = try text(fields.right_template, "right_template") }
        let progress = handler(fields.progress, fields.user_data)
        let found = try Classifier(opened).perplexities(as: names, settings, progress) {
            () throws(RudolphError) in try picture.tokens(opened, progress) ?? []
        }
        for (index, perplexity) in found.enumerated() { output[index] = Perplexity.float(perplexity) }
    }
}

@c @implementation
public func rudolph_image_length(_ model: OpaquePointer!) -> Int32 {
    guard let model else { return 0 }
    return Int32(openedModel(model).configuration.imageLength)
}

@c @implementation
public func rudolph_encode(
    _ session: OpaquePointer!, _ rgb: UnsafePointer<UInt8>!, _ width: Int32, _ height: Int32, _ tokens: UnsafeMutablePointer<Int32>!,
    _ count: Int32, _ error: UnsafeMutablePointer<CChar>!, _ errorSize: Int
) -> Int32 {
    var needed = 0
    let status = attempt(error, errorSize) { () throws(RudolphError) in
        let opened = try openedSession(session)
        let picture = try GivenPicture(try given(rgb, "rgb"), width, height, nil, 0)
        let output = try given(tokens, "tokens")
        needed = opened.model.configuration.imageLength
        guard count >= needed else { return }
        // In callbacks, too, the session is in use.
        try opened.tasks.take()
        defer { opened.tasks.giveBack() }
        for (index, token) in try (picture.tokens(opened, nil) ?? []).enumerated() { output[index] = Int32(token) }
    }
    guard status == RUDOLPH_OK, count < needed else { return status }
    _ = copy("the picture has \(needed) tokens, the buffer has room for \(count)", to: error, errorSize)
    return Int32(RUDOLPH_NO_ROOM)
}

/// A picture in the caller's memory: pixels, tokens, or none.
private struct GivenPicture {
    private let pixels: UnsafePointer<UInt8>?
    private let width, height: Int
    private let given: [Int]?

    init(
        _ rgb: UnsafePointer<UInt8>?, _ width: Int32, _ height: Int32, _ tokens: UnsafePointer<Int32>?, _ count: Int32
    ) throws(RudolphError) {
        pixels = rgb
        self.width = Int(width)
        self.height = Int(height)
        if let tokens {
            guard rgb == nil else { throw RudolphError("rgb and image_tokens are given, expected one picture") }
            guard count >= 0 else { throw RudolphError("\(count) image tokens, expected 0 or more") }
            given = (0..<Int(count)).map { Int(tokens[$0]) }
        } else {
            given = nil
        }
        guard rgb != nil else { return }
        guard width > 0, height > 0, self.width <= RGBImage.maximumPixels / self.height else {
            throw RudolphError("a picture of \(width) x \(height) pixels, expected 1 to \(RGBImage.maximumPixels) pixels")
        }
    }

    /// Throws where there is none.
    func require() throws(RudolphError) {
        guard pixels != nil || given != nil else { throw RudolphError("rgb is NULL") }
    }

    /// nil for none.
    func tokens(_ session: Session, _ progress: ProgressHandler?) throws(RudolphError) -> [Int]? {
        guard let pixels else { return given }
        try report(progress, .encodingImage, 0, 1)
        return try session.imageTokens(of: pixels, width: width, height: height)
    }
}

/// Ends pieces of a text with a zero for a callback in C.
final class PieceBuffer {
    /// Longer pieces come in several calls.
    private static let size = 256
    private let bytes = UnsafeMutablePointer<CChar>.allocate(capacity: size)

    deinit {
        bytes.deallocate()
    }

    func handOver(_ piece: Substring, to partial: rudolph_partial_text, _ userData: UnsafeMutableRawPointer?) {
        var rest = piece.unicodeScalars[...]
        while !rest.isEmpty {
            var used = 0
            while let scalar = rest.first, used + UTF8.width(scalar) < Self.size {
                for byte in UTF8.encode(scalar) ?? UTF8.encodedReplacementCharacter {
                    bytes[used] = CChar(bitPattern: byte)
                    used += 1
                }
                rest.removeFirst()
            }
            bytes[used] = 0
            partial(bytes, userData)
        }
    }
}

private func partialHandler(_ partial: rudolph_partial_text?, _ userData: UnsafeMutableRawPointer?) -> PartialTextHandler? {
    guard let partial else { return nil }
    let buffer = PieceBuffer()
    return { buffer.handOver($0, to: partial, userData) }
}

private func tell(_ candidate: rudolph_candidate?, _ text: String, _ count: Int, _ score: Float, _ userData: UnsafeMutableRawPointer?) {
    guard let candidate else { return }
    text.withCString { candidate($0, Int32(clamping: count), score, userData) }
}

private func handler(_ progress: rudolph_progress?, _ userData: UnsafeMutableRawPointer?) -> ProgressHandler? {
    guard let progress else { return nil }
    return { progress(code($0.stage), Int32(clamping: $0.done), Int32(clamping: $0.total), userData) != 0 }
}

private func code(_ stage: Progress.Stage) -> Int32 {
    switch stage {
    case .encodingImage: Int32(RUDOLPH_ENCODING_IMAGE)
    case .reading: Int32(RUDOLPH_READING)
    case .generating: Int32(RUDOLPH_GENERATING)
    case .ranking: Int32(RUDOLPH_RANKING)
    }
}

/// 0 stands for as many as a text has.
private func maximumTokens(_ number: Int32) throws(RudolphError) -> Int? {
    guard number >= 0 else { throw RudolphError("max_tokens is \(number), expected 0 or more") }
    return number == 0 ? nil : Int(number)
}

private func precision(_ number: Int32) throws(RudolphError) -> ActivationPrecision? {
    switch number {
    case 0: nil
    case 1: .int8
    case 2: .mixed
    case 3: .int16
    default: throw RudolphError("activations is \(number), expected 0 to 3")
    }
}

private func keyValueFormat(_ number: Int32) throws(RudolphError) -> KeyValueFormat? {
    switch number {
    case 0: nil
    case 1: .f16
    case 2: .int8
    default: throw RudolphError("cache is \(number), expected 0 to 2")
    }
}

private func imageArithmetic(_ number: Int32) throws(RudolphError) -> ImageArithmetic? {
    switch number {
    case 0: nil
    case 1: .fast
    case 2: .winograd
    case 3: .direct
    default: throw RudolphError("image_arithmetic is \(number), expected 0 to 3")
    }
}

/// Throws unless all bytes of reserved fields are zero.
private func checkReserved<Field: BitwiseCopyable>(_ field: Field) throws(RudolphError) {
    let isZero = withUnsafeBytes(of: field) { $0.allSatisfy { $0 == 0 } }
    guard isZero else { throw RudolphError("reserved fields of the options are not zero") }
}

private func given<Value>(_ value: Value?, _ name: String) throws(RudolphError) -> Value {
    guard let value else { throw RudolphError("\(name) is NULL") }
    return value
}

private func openedModel(_ model: OpaquePointer) -> Model {
    Unmanaged<Model>.fromOpaque(UnsafeRawPointer(model)).takeUnretainedValue()
}

private func openedSession(_ session: OpaquePointer?) throws(RudolphError) -> Session {
    Unmanaged<Session>.fromOpaque(UnsafeRawPointer(try given(session, "session"))).takeUnretainedValue()
}

/// Runs `body` and gives its text to the caller, whose buffer must have room for at least the closing zero.
private func attempt(
    _ output: UnsafeMutablePointer<CChar>?, _ outputSize: Int, _ error: UnsafeMutablePointer<CChar>?, _ errorSize: Int,
    _ body: () throws(RudolphError) -> String
) -> Int32 {
    if output != nil, outputSize <= 0 {
        _ = copy("text_size is \(outputSize), expected room for a text", to: error, errorSize)
        return Int32(RUDOLPH_NO_ROOM)
    }
    var found = ""
    let status = attempt(error, errorSize) { () throws(RudolphError) in
        _ = try given(output, "text")
        found = try body()
    }
    guard status == RUDOLPH_OK, !copy(found, to: output, outputSize) else { return status }
    _ = copy("the text takes \(found.utf8.count + 1) bytes, the buffer has \(outputSize)", to: error, errorSize)
    return Int32(RUDOLPH_NO_ROOM)
}

/// Runs `body`; an error becomes a status and its message is written to `error`.
private func attempt(
    _ error: UnsafeMutablePointer<CChar>?, _ errorSize: Int, _ body: () throws(RudolphError) -> Void
) -> Int32 {
    do throws(RudolphError) {
        try body()
        return Int32(RUDOLPH_OK)
    } catch let failure {
        _ = copy(failure.message, to: error, errorSize)
        return status(of: failure.kind)
    }
}

private func status(of kind: RudolphError.Kind) -> Int32 {
    switch kind {
    case .invalidArgument: Int32(RUDOLPH_INVALID_ARGUMENT)
    case .invalidFile: Int32(RUDOLPH_INVALID_FILE)
    case .outOfMemory: Int32(RUDOLPH_OUT_OF_MEMORY)
    case .system: Int32(RUDOLPH_SYSTEM)
    case .inUse: Int32(RUDOLPH_IN_USE)
    case .stopped: Int32(RUDOLPH_STOPPED)
    }
}

private func text(_ pointer: UnsafePointer<CChar>?, _ name: String) throws(RudolphError) -> String {
    guard let text = String(validatingCString: try given(pointer, name)) else { throw RudolphError("\(name) is not valid UTF-8") }
    return text
}

private func texts(
    _ pointers: UnsafePointer<UnsafePointer<CChar>?>?, _ count: Int32, _ name: String
) throws(RudolphError) -> [String] {
    let pointers = try given(pointers, name)
    guard count >= 1 else { throw RudolphError("\(count) \(name), expected at least one") }
    var texts: [String] = []
    for index in 0..<Int(count) { texts.append(try text(pointers[index], "\(name)[\(index)]")) }
    return texts
}

/// Copies as much as fits, cut between characters, with a closing zero; returns whether all of it fitted.
private func copy(_ text: String, to buffer: UnsafeMutablePointer<CChar>?, _ size: Int) -> Bool {
    guard let buffer, size > 0 else { return false }
    var used = 0
    for character in text.unicodeScalars {
        let bytes = Unicode.UTF8.encode(character) ?? Unicode.UTF8.encodedReplacementCharacter
        guard used + bytes.count < size else {
            buffer[used] = 0
            return false
        }
        for byte in bytes {
            buffer[used] = CChar(bitPattern: byte)
            used += 1
        }
    }
    buffer[used] = 0
    return true
}
