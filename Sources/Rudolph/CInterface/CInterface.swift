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
        guard let model else { throw RudolphError("model is NULL") }
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
        guard let session else { throw RudolphError("session is NULL") }
        session.pointee = nil
        guard let model else { throw RudolphError("model is NULL") }
        let shared = Unmanaged<Model>.fromOpaque(UnsafeRawPointer(model)).takeUnretainedValue()
        let given = options?.pointee ?? rudolph_session_options()
        let opened = try Session(
            shared, threads: given.threads == 0 ? nil : Int(given.threads), keyValueFormat: given.int8_cache == 0 ? .f16 : .int8)
        session.pointee = OpaquePointer(Unmanaged.passRetained(opened).toOpaque())
    }
}

@c @implementation
public func rudolph_session_close(_ session: OpaquePointer!) {
    if let session { Unmanaged<Session>.fromOpaque(UnsafeRawPointer(session)).release() }
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
    var caption = ""
    let status = attempt(error, errorSize) { () throws(RudolphError) in
        guard let session, let rgb, output != nil else { throw RudolphError("session, rgb or text is NULL") }
        let opened = Unmanaged<Session>.fromOpaque(UnsafeRawPointer(session)).takeUnretainedValue()
        guard width > 0, height > 0, Int(width) <= RGBImage.maximumPixels / Int(height) else {
            throw RudolphError("a picture of \(width) x \(height) pixels, expected 1 to \(RGBImage.maximumPixels) pixels")
        }
        let pixels = [UInt8](UnsafeBufferPointer(start: rgb, count: 3 * Int(width) * Int(height)))
        let image = try RGBImage(width: Int(width), height: Int(height), pixels: pixels)
        var given = rudolph_caption_options()
        if let options { given = options.pointee } else { rudolph_caption_options_default(&given) }

        var settings = given.greedy != 0 ? CaptionOptions.greedy : CaptionOptions()
        settings.leftText = given.left_text == nil ? "" : try text(given.left_text, "left_text")
        settings.template = given.template_text == nil ? nil : try text(given.template_text, "template_text")
        if given.greedy == 0 {
            settings.candidates = Int(given.candidates)
            settings.sampling = SamplingOptions(temperature: given.temperature, topK: Int(given.top_k), topP: given.top_p)
            settings.ranking = given.rank_by_image != 0 ? .image : .count
        }
        settings.seed = given.seed
        var handler: ProgressHandler? = nil
        if let progress = given.progress {
            let userData = given.user_data
            handler = { progress(Int32(clamping: $0.done), Int32(clamping: $0.total), userData) != 0 }
        }
        caption = try Captioner(opened).captions(of: image, settings, progress: handler).first?.text ?? ""
    }
    guard status == RUDOLPH_OK else { return status }
    guard copy(caption, to: output, outputSize) else {
        _ = copy("the text takes \(caption.utf8.count + 1) bytes, the buffer has \(outputSize)", to: error, errorSize)
        return Int32(RUDOLPH_NO_ROOM)
    }
    return Int32(RUDOLPH_OK)
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
        return Int32(failure.isStop ? RUDOLPH_STOPPED : RUDOLPH_ERROR)
    }
}

private func text(_ pointer: UnsafePointer<CChar>?, _ name: String) throws(RudolphError) -> String {
    guard let pointer else { throw RudolphError("\(name) is NULL") }
    guard let text = String(validatingCString: pointer) else { throw RudolphError("\(name) is not valid UTF-8") }
    return text
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
