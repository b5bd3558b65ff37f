/// Called with each new piece of a text as soon as it is decided, on the thread that runs the task: whole characters, and joined they are the text of
/// the result, what it begins with included. Of several candidates the first one that is generated is told, whatever comes first in the end; of a
/// text that a task does not give, as it was stopped, the beginning is. The piece is the library's own memory: a `String` of it is a copy to keep.
/// It may use the task's session as a `PartialDrawingHandler` may.
public typealias PartialTextHandler = (_ piece: Substring) -> Void

/// Hands a text over while its ids are generated. Takes no memory then but for pieces that only a damaged model has.
final class TextStream {
    private let tokenizer: Tokenizer
    private let handler: PartialTextHandler
    /// What is known of the text: without white space at its beginning, but with what may yet be its end.
    private var text = ""
    /// Bytes of it that were handed over.
    private var handedOver = 0
    private var pending: [UInt32] = []

    /// - Parameter length: tokens of the text at most.
    init(_ tokenizer: Tokenizer, length: Int, _ handler: @escaping PartialTextHandler) {
        self.tokenizer = tokenizer
        self.handler = handler
        let longest = min(tokenizer.longestPiece, Self.longestPiece)
        text.reserveCapacity(length * longest)
        pending.reserveCapacity(longest + 1)
    }

    /// More than pieces have that come of texts, in bytes.
    private static let longestPiece = 256

    /// The next id that is part of the text.
    func append(_ id: Int) {
        var end = handedOver
        tokenizer.forEachCodePoint(of: id, spaced: true, &pending) { codePoint in
            guard let scalar = Unicode.Scalar(codePoint) else { return }
            let isSpace = Tokenizer.isPythonSpace(scalar)
            if isSpace, text.isEmpty { return }
            text.unicodeScalars.append(scalar)
            if !isSpace { end = text.utf8.count }
        }
        guard end > handedOver else { return }
        let start = text.utf8.index(text.startIndex, offsetBy: handedOver)
        handedOver = end
        handler(text[start..<text.utf8.index(text.startIndex, offsetBy: end)])
    }
}
