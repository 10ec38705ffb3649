// Words of leasectl who and at, which the page says of itself. A test of package replay holds them against those.

export const notRecordedYet = "which addresses the network gives out is not recorded: no ADD before has recorded its ranges";
export const notRecorded = "which addresses the network gave out is not recorded";
export const nearUnknown = "a moment before or after, within the error of the clocks, it is unknown: ";
export const whetherHeld = "whether it was held at the time asked about depends on the error of a clock";
export const leftOpen =
  "the clocks leave open which of these it was: events lie closer to the time asked about than their clocks are exact, or a clock was set";
