/// Task tokens of every model that has any: the second token of a left (LT) or right (RT) text, which says what it is for.
/// `Configuration.taskTokens` lists all that a model has.
public enum TaskToken {
    /// A question or an instruction, and its answer.
    public static let leftUnknown = "<LT_UNK>", rightUnknown = "<RT_UNK>"
    /// A text that a picture is drawn from.
    public static let textToImage = "<LT_T2I>"
    /// What stands before a picture that is captioned, and the caption.
    public static let imageToText = "<LT_I2T>", caption = "<RT_I2T>"
    /// A text that goes on.
    public static let textToText = "<LT_T2T>"
}
