import CPlatform
import CommandSupport
import Rudolph

/// Shows on standard error what is being drawn: on a terminal each row of tokens as it comes, elsewhere the finished picture only.
final class Preview {
    private let session: Session
    private let progress: TaskProgress
    private let terminal = TerminalPicture.forStandardError()
    /// Lines of the picture that the next one replaces.
    private var lines: Int?
    /// Not before this time is another partial picture decoded.
    private var next = 0.0

    /// Partial pictures take at most this share of the time.
    private static let share = 0.2

    init(_ session: Session, _ progress: TaskProgress) {
        self.session = session
        self.progress = progress
    }

    /// The first picture of the batch that is being drawn; what is still to come is grey.
    func showPartial(_ pictures: [[Int]]) {
        let start = rp_seconds()
        guard standardErrorIsTerminal(), start >= next, let tokens = pictures.first, let last = tokens.last else { return }
        let configuration = session.model.configuration
        let missing = configuration.imageLength - tokens.count
        // The decoder wants a whole picture.
        guard let image = try? session.image(of: tokens + [Int](repeating: last, count: missing)) else { return }
        let rows = image.height * (tokens.count / configuration.imageTokensPerSide) / configuration.imageTokensPerSide
        var pixels = image.pixels
        for index in (rows * image.width * 3)..<pixels.count { pixels[index] = 128 }
        guard let partial = try? RGBImage(width: image.width, height: image.height, pixels: pixels) else { return }
        show(partial, isPartial: true)
        let now = rp_seconds()
        next = now + (now - start) * (1 / Self.share - 1)
    }

    func show(_ image: RGBImage) {
        show(image, isPartial: false)
    }

    private func show(_ image: RGBImage, isPartial: Bool) {
        let picture = terminal.render(image)
        // Without knowing its height a picture could not be replaced.
        if isPartial, picture.rows == nil { return }
        progress.clear()
        writeToStandardError((lines.map { "\u{1b}[\($0)A\u{1b}[J" } ?? "") + picture.text)
        lines = isPartial ? picture.rows : nil
    }
}
